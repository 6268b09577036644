package hub

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// logEngine is an engine that keeps its log in a slice, from which tests remove events.
type logEngine struct {
	mu        sync.Mutex
	log       sliceLog
	deliver   func([]*Event)
	readError error         // if set, all reads fail with this error
	reads     int           // number of ReadAfter calls
	readTime  time.Duration // duration of each read
	remote    bool          // reads report their duration with AddWaitTime

	timeless bool          // SeqAt fails
	ahead    time.Duration // how far the engine's clock is ahead
}

func (l *logEngine) Start(deliver func([]*Event)) (Cursor, error) {
	l.deliver = deliver
	return Cursor{1, 0}, nil
}

func (l *logEngine) Publish(_ context.Context, events []*Event) (Cursor, error) {
	l.mu.Lock()
	for _, e := range events {
		e.ID, e.Time = Cursor{1, uint64(len(l.log.events)) + 1}, time.Now().Add(l.ahead)
		l.log.events = append(l.log.events, e)
	}
	l.mu.Unlock()
	l.deliver(events)
	return events[len(events)-1].ID, nil
}

// Erase implements Eraser.
func (l *logEngine) Erase(_ context.Context, seq uint64) (at uint64, err error) {
	l.mu.Lock()
	erasure, err := l.log.erase(seq)
	l.mu.Unlock()
	if err != nil {
		return 0, err
	}
	l.deliver([]*Event{{ID: erasure.ID, Erases: seq}})
	return erasure.ID.Seq, nil
}

func (l *logEngine) Close() error { return nil }

func (l *logEngine) LastSeq(ctx context.Context) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.log.LastSeq(ctx)
}

func (l *logEngine) Count(ctx context.Context, set FilterSet, enough int) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, err := l.log.Count(ctx, set, enough)
	if l.readError != nil {
		err = l.readError
	}
	return n, err
}

func (l *logEngine) SeqAt(ctx context.Context, t time.Time) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.timeless {
		return 0, ErrUnavailable
	}
	return l.log.SeqAt(ctx, t)
}

func (l *logEngine) ReadAfter(ctx context.Context, seq uint64, limit ReadLimit) ([]*Event, error) {
	var takes time.Duration
	l.withLock(func() {
		if takes = l.readTime; l.remote {
			AddWaitTime(ctx, takes)
		}
	})
	time.Sleep(takes)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reads++
	if l.readError != nil {
		return nil, l.readError
	}
	return l.log.ReadAfter(ctx, seq, limit)
}

// withLock calls f, which may read or change the log, with the lock held.
func (l *logEngine) withLock(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
}

// startLog starts a hub and publishes n events, with the topics t.0 to t.9 in turn. The in-memory log holds
// the newest memlogEvents of them.
func startLog(t *testing.T, n, memlogEvents int) (*Hub, *logEngine) {
	t.Helper()
	l := &logEngine{}
	h, err := New(Config{Engine: l, Retention: Retention{Events: memlogEvents}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, h.Close()) })
	for i := range n {
		_, err := h.Publish(t.Context(), &Event{Topic: fmt.Sprint("t.", i%10), Data: []byte("1")})
		require.NoError(t, err)
	}
	return h, l
}

// logReader reads a subscription as a connection writer does.
type logReader struct {
	*Subscription
	wakeup Wakeup
}

func subscribeToLog(t *testing.T, h *Hub, filter string, start Start) *logReader {
	t.Helper()
	b := &logReader{wakeup: NewWakeup()}
	var err error
	b.Subscription, err = h.Subscribe(Request{Filters: setOf(filter), Start: start}, b.wakeup)
	require.NoError(t, err)
	t.Cleanup(b.Close)
	return b
}

// next reads until it receives events or a gap, or has read everything.
func (b *logReader) next(t *testing.T) ReadResult {
	t.Helper()
	for {
		batch := b.Read(ReadLimit{1000, 1 << 20})
		if batch.Gap != nil || len(batch.Events) > 0 || !batch.More && !batch.Waiting {
			return batch
		}
		if batch.Waiting {
			select {
			case <-b.wakeup:
			case <-time.After(time.Minute):
				require.FailNow(t, "the subscription was not woken")
			}
		}
	}
}

func after(seq uint64) Start { return Start{Cursor: &Cursor{1, seq}} }

// A closed subscription is not kept in memory, even if it was waiting for a log that is
// unavailable.
func TestClosedSubscriptionsAreDropped(t *testing.T) {
	h, l := startLog(t, 100, 10)
	l.withLock(func() { l.readError, l.timeless = ErrUnavailable, true })
	for i := range 100 {
		s := subscribeToLog(t, h, "t.1", []Start{after(uint64(i % 50)), {Last: 20}, {Since: time.Unix(1, 0)}}[i%3])
		require.True(t, s.Read(ReadLimit{1, 1}).Waiting)
		s.Close()
	}
	h.replay.mu.Lock()
	defer h.replay.mu.Unlock()
	requireNoneWaits(t, h.replay)
	h.locator.mu.Lock()
	defer h.locator.mu.Unlock()
	require.Zero(t, h.locator.queue.Len())
	require.Empty(t, h.locator.open)
}

// A query that the log fails to answer does not delay other queries.
func TestFailedQueryDoesNotDelayOthers(t *testing.T) {
	h, l := startLog(t, 100, 10)
	l.withLock(func() { l.timeless = true })
	stalled := subscribeToLog(t, h, "t.1", Start{Since: time.Unix(1, 0)})
	require.True(t, stalled.Read(ReadLimit{1, 1}).Waiting)
	s := subscribeToLog(t, h, "t.1", after(5))
	require.Len(t, s.next(t).Events, 9)
}

// A backward scan does not read the durable log for a topic without events, nor for one whose
// events are all in the in-memory log. For any other topic it reads the log once.
func TestBackwardScanReadsTheLogOnce(t *testing.T) {
	h, l := startLog(t, 20_000, 10)
	_, err := h.Publish(t.Context(), &Event{Topic: "new", Data: []byte("1")})
	require.NoError(t, err)
	require.Eventually(t, func() bool { return !h.replay.updateLossIndex(t.Context(), h.lowWatermark(), 20_001) }, time.Minute, 1)
	var before int
	l.withLock(func() { before = l.reads })
	require.Empty(t, subscribeToLog(t, h, "none", Start{Last: 9}).next(t).Events)
	require.Len(t, subscribeToLog(t, h, "new", Start{Last: 9}).next(t).Events, 1)
	l.withLock(func() {
		require.LessOrEqual(t, l.reads, before+2, "the scan reads nothing; the loss index may have read twice")
		l.log.events[0].Topic, l.log.events[700].Topic = "old", "old"
		before = l.reads
	})
	s := subscribeToLog(t, h, "old", Start{Last: 9})
	require.Len(t, append(s.next(t).Events, s.next(t).Events...), 2)
	require.Empty(t, s.next(t).Events)
	l.withLock(func() {
		require.LessOrEqual(t, l.reads, before+40+4, "each chunk is read once, and the found events once more")
	})
}

// Chunks are cached for a limited time, and their number never exceeds the limit.
func TestChunksExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, l := startLog(t, 100, 10)
		require.Len(t, subscribeToLog(t, h, ">", after(0)).next(t).Events, 100)
		l.withLock(func() { l.log.gone = 60 })
		time.Sleep(chunkLife + 2*lossInterval)
		again := subscribeToLog(t, h, ">", after(0)).next(t)
		require.NotNil(t, again.Gap)
		require.Equal(t, uint64(61), again.Events[0].ID.Seq)
		time.Sleep(chunkLife + 2*lossInterval)
		h.replay.mu.Lock()
		defer h.replay.mu.Unlock()
		require.Empty(t, h.replay.chunks)
		for i := range uint64(3 * maxChunks) {
			size := 1
			if i > 2*maxChunks {
				size = 3 * chunkBytes
			}
			h.replay.addChunk(splitChunks(i, []*Event{{ID: Cursor{1, i + 1}, Data: make([]byte, size)}}, 0, false)[0])
			kept := int64(0)
			for _, c := range h.replay.chunks {
				kept += c.size
			}
			require.LessOrEqual(t, kept, int64(maxChunks*chunkBytes))
			require.LessOrEqual(t, len(h.replay.chunks), maxChunks)
			require.Equal(t, i, h.replay.chunks[len(h.replay.chunks)-1].from)
		}
	})
}

// Subscribers that are behind at many positions advance together and share reads of the log. A
// subscriber that has nearly caught up does not wait for the others.
func TestReplaysShareReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const chunks, readers = 60, 40
		h, l := startLog(t, chunks*chunkEvents, 10)
		synctest.Wait()
		l.withLock(func() { l.readTime = time.Millisecond }) // reads of the log take longer than the subscribers need
		var running sync.WaitGroup
		follow := func(seq uint64, then func()) {
			s := subscribeToLog(t, h, ">", after(seq))
			running.Go(func() {
				for n := uint64(chunks * chunkEvents); !s.Reached(n); s.next(t) {
				}
				then()
			})
		}
		for i := range uint64(readers) {
			follow(i*(chunks-3)*chunkEvents/readers, func() {})
		}
		early := 0
		follow((chunks-2)*chunkEvents-100, func() { l.withLock(func() { early = l.reads }) })
		running.Wait()
		t.Logf("%d reads in total, %d until the subscriber near the end had caught up", l.reads, early)
		require.Less(t, early, 20)
		require.Less(t, l.reads, 4*chunks)
	})
}

// If the log grows faster than it is read, all subscribers still advance, not only the first.
func TestReplaysAdvanceInAGrowingLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, l := startLog(t, 30*chunkEvents, 10)
		synctest.Wait()
		l.withLock(func() { l.readTime = time.Millisecond })
		end := time.Now().Add(300 * time.Millisecond)
		var running sync.WaitGroup
		running.Go(func() {
			for ; time.Now().Before(end); time.Sleep(time.Millisecond) {
				events := make([]*Event, 2*chunkEvents)
				for i := range events {
					events[i] = &Event{Topic: "t.0", Data: []byte("1")}
				}
				_, err := h.Publish(t.Context(), events...)
				require.NoError(t, err)
			}
		})
		var advanced [3]uint64
		for i := range advanced {
			begin := uint64((2 - i) * 10 * chunkEvents)
			time.Sleep(20 * time.Millisecond) // until the earlier subscribers have begun to read at their positions
			s := subscribeToLog(t, h, ">", after(begin))
			running.Go(func() {
				for time.Now().Before(end) && !t.Failed() {
					s.next(t)
				}
				advanced[i] = s.Position().Seq - begin
			})
		}
		running.Wait()
		t.Logf("events read by each subscriber: %v, %d reads in total", advanced, l.reads)
		for _, n := range advanced {
			require.Greater(t, n, uint64(5*chunkEvents))
		}
	})
}
