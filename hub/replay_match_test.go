package hub

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// matchEngine is a logEngine that also implements MatchReader.
type matchEngine struct {
	*logEngine
	looked  int           // elements read; guarded by mu, as are the fields below
	matches int           // number of ReadMatching calls
	fails   error         // error that ReadMatching returns
	blocks  time.Duration // duration of ReadMatching
}

func (l *matchEngine) ReadMatching(ctx context.Context, set FilterSet, seq, through uint64, limit ReadLimit) ([]*Event, error) {
	l.mu.Lock()
	l.matches++
	blocks := l.blocks
	l.mu.Unlock()
	select {
	case <-time.After(blocks):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fails != nil {
		return nil, l.fails
	}
	elements, err := l.log.readMatching(ctx, set, seq, through, limit)
	l.looked += len(elements)
	return elements, err
}

func (l *matchEngine) ReadAfter(ctx context.Context, seq uint64, limit ReadLimit) ([]*Event, error) {
	elements, err := l.logEngine.ReadAfter(ctx, seq, limit)
	l.withLock(func() { l.looked += len(elements) })
	return elements, err
}

// readMatching implements MatchReader.ReadMatching, but ignores limit.Bytes.
func (l *sliceLog) readMatching(ctx context.Context, set FilterSet, seq, through uint64, limit ReadLimit) (found []*Event, err error) {
	all, err := l.ReadAfter(ctx, seq, ReadLimit{math.MaxInt, math.MaxInt})
	if err != nil {
		return nil, err
	}
	reached := seq
	for _, e := range all {
		if e.ID.Seq > through && e.Topic == "" && e.Erases == 0 {
			e.ID.Seq = through // a deleted range that ends after through
		}
		if e.ID.Seq > through {
			break
		}
		switch last := seq; {
		case e.Topic != "" && set.Match(e.Topic):
			found, seq = append(found, e), e.ID.Seq
		case e.Topic == "" && e.Erases == 0:
			if reached > last {
				found = append(found, erasedElement(Cursor{1, reached}))
			}
			found, seq = append(found, e), e.ID.Seq
		}
		if reached = e.ID.Seq; len(found) >= limit.Events {
			return found[:limit.Events], nil
		}
	}
	if seq < through {
		found = append(found, erasedElement(Cursor{1, through}))
	}
	return found, nil
}

// startMatching starts a hub on a log of n events. An event whose seq is a multiple of the parameter
// every has the topic "rare".
func startMatching(t *testing.T, n, every int) (*Hub, *matchEngine) {
	t.Helper()
	l := &matchEngine{logEngine: &logEngine{}}
	h, err := New(Config{Engine: l, Retention: Retention{Events: 10}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, h.Close()) })
	events := make([]*Event, n)
	for i := range events {
		events[i] = &Event{Topic: fmt.Sprint("often.", i%10), Data: []byte("1")}
		if i%every == every-1 {
			events[i].Topic = "rare"
		}
	}
	_, err = h.Publish(t.Context(), events...)
	require.NoError(t, err)
	return h, l
}

// readWhole reads the whole log and returns the events and the gaps.
func (b *logReader) readWhole(t *testing.T) (events []*Event, gaps []*Gap) {
	t.Helper()
	for r := b.next(t); len(r.Events) > 0 || r.Gap != nil; r = b.next(t) {
		if r.Gap != nil {
			gaps = append(gaps, r.Gap)
		}
		events = append(events, r.Events...)
	}
	return events, gaps
}

// TestRareEventsAreReadWithoutOtherEvents checks that a subscriber of a rare topic reads two unfiltered
// chunks and then only matching events. A subscriber of a frequent topic must read only unfiltered
// chunks.
func TestRareEventsAreReadWithoutOtherEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n, every = 200_000, 2000
		h, l := startMatching(t, n, every)
		for h.replay.updateLossIndex(t.Context(), h.lowWatermark(), n) { // waits until the loss index is complete, so that it does not read the log during the test
		}
		synctest.Wait()
		before := 0
		l.withLock(func() { before = l.looked })
		events, gaps := subscribeToLog(t, h, "rare", after(0)).readWhole(t)
		require.Empty(t, gaps)
		require.Len(t, events, n/every)
		for i, e := range events {
			require.Equal(t, uint64((i+1)*every), e.ID.Seq)
			require.Equal(t, "rare", e.Topic)
		}
		l.withLock(func() {
			require.LessOrEqual(t, l.looked-before, maxChunks*chunkEvents+n/every+1, "only two chunks, the chunks read ahead, and the matching events are read")
			require.Equal(t, 1, l.matches)
		})
		events, _ = subscribeToLog(t, h, "often.3", after(0)).readWhole(t)
		require.Len(t, events, n/10)
		l.withLock(func() { require.Equal(t, 1, l.matches) })
	})
}

// TestEqualFiltersShareFilteredChunks checks that one filtered read serves all subscribers that
// wait with equal filters, and no subscribers with other filters.
func TestEqualFiltersShareFilteredChunks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, l := startMatching(t, 60_000, 600)
		l.withLock(func() { l.blocks = time.Millisecond })
		h.replay.matchRule.cost = 1
		var subs []*logReader
		for i := range 20 {
			subs = append(subs, subscribeToLog(t, h, []string{"rare", "none"}[i%2], after(0)))
		}
		for i, s := range subs {
			events, gaps := s.readWhole(t)
			require.Empty(t, gaps)
			require.Len(t, events, []int{100, 0}[i%2])
		}
		l.withLock(func() { require.LessOrEqual(t, l.matches, 20) })
	})
}

// TestFailedFilteredReadsFallBack checks that a subscriber receives all events even if filtered reads
// fail, and that filtered reads are then tried rarely.
func TestFailedFilteredReadsFallBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, l := startMatching(t, 60_000, 600)
		l.withLock(func() { l.fails, l.readTime = errors.New("too many subjects"), time.Millisecond })
		events, gaps := subscribeToLog(t, h, "rare", after(0)).readWhole(t)
		require.Empty(t, gaps)
		require.Len(t, events, 100)
		l.withLock(func() { require.Equal(t, 1, l.matches) })
	})
}

// TestSlowFilteredReadsFallBack checks that a slow filtered read delays a subscriber by little more
// than matchTimeout.
func TestSlowFilteredReadsFallBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, l := startMatching(t, 60_000, 600)
		l.withLock(func() { l.blocks = time.Hour })
		begin := time.Now()
		events, gaps := subscribeToLog(t, h, "rare", after(0)).readWhole(t)
		require.Empty(t, gaps)
		require.Len(t, events, 100)
		require.LessOrEqual(t, time.Since(begin), matchTimeout+2*lossInterval)
		l.withLock(func() { require.Equal(t, 1, l.matches) })
	})
}

// TestManyWaitingReadersUseUnfilteredChunks checks that queries wait for filtered chunks only while few subscribers wait.
// If many wait, one unfiltered read is cheaper, because it serves all of them.
func TestManyWaitingReadersUseUnfilteredChunks(t *testing.T) {
	rr := newReplayReader(&matchEngine{logEngine: &logEngine{}}, 10)
	ask := func() bool {
		q := chunkQuery{set: setOf("rare"), filtered: true, until: 100 * chunkEvents, sub: new(subscriber)}
		rr.enqueue(q)
		return rr.queue.bySub[q.sub].matching
	}
	limit := 100 / int(defaultMatchRule.cost)
	for i := range 2 * limit {
		require.Equal(t, i < limit, ask(), "with %d waiting queries", i)
	}
}

// readUntilMatching reads until the hub has started to read a filtered chunk.
func (b *logReader) readUntilMatching(t *testing.T, l *matchEngine) (events []*Event) {
	t.Helper()
	for {
		r := b.Read(ReadLimit{1000, 1 << 20})
		events = append(events, r.Events...)
		require.Nil(t, r.Gap)
		if !r.Waiting {
			continue
		}
		synctest.Wait()
		matches := 0
		if l.withLock(func() { matches = l.matches }); matches > 0 {
			return events
		}
		<-b.wakeup
	}
}

// TestEraseDuringFilteredRead checks that an event is not delivered if it is erased during or
// after the read of its filtered chunk.
func TestEraseDuringFilteredRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, l := startMatching(t, 60_000, 600)
		l.withLock(func() { l.blocks = 100 * time.Millisecond })
		s := subscribeToLog(t, h, "rare", after(0))
		events := s.readUntilMatching(t, l)
		require.NoError(t, h.Erase(t.Context(), Cursor{1, 42_000}))
		<-s.wakeup
		require.NoError(t, h.Erase(t.Context(), Cursor{1, 48_000}))
		rest, gaps := s.readWhole(t)
		require.Empty(t, gaps)
		events = append(events, rest...)
		require.Len(t, events, 98)
		for _, e := range events {
			require.NotContains(t, []uint64{42_000, 48_000}, e.ID.Seq)
		}
	})
}
