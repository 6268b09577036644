package hub

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// seekEngine is a logEngine that also implements Seeker.
type seekEngine struct {
	*logEngine
	newestCalls  int // number of Newest calls; guarded by mu, as is elementsRead
	elementsRead int // elements returned
}

func (l *seekEngine) Newest(_ context.Context, set FilterSet, seq uint64, wanted int) (seqs []uint64, _ error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.newestCalls++
	for _, e := range l.log.events[l.log.gone:seq] {
		if set.Match(e.Topic) {
			seqs = append(seqs, e.ID.Seq)
		}
	}
	return seqs[len(seqs)-min(len(seqs), wanted):], l.readError
}

func (l *seekEngine) ReadEach(_ context.Context, seqs []uint64, limit ReadLimit) (found []*Event, _ error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, seq := range seqs[:min(len(seqs), limit.Events, 20)] {
		l.elementsRead++
		e := l.log.events[seq-1]
		found = append(found, &Event{ID: e.ID, Topic: e.Topic, Key: e.Key, Time: e.Time, Data: e.Data})
		if seq <= l.log.gone {
			found[len(found)-1] = &Event{ID: e.ID}
		}
	}
	return found, l.readError
}

func (l *seekEngine) ReadAfter(ctx context.Context, seq uint64, limit ReadLimit) ([]*Event, error) {
	elements, err := l.logEngine.ReadAfter(ctx, seq, limit)
	l.withLock(func() { l.elementsRead += len(elements) })
	return elements, err
}

// For a start with the newest n events of a topic, the number of elements read from the log depends
// on n, not on the age of the events.
func TestSeekerReadsOnlyTheNewest(t *testing.T) {
	const n = 60_000
	l := &seekEngine{logEngine: &logEngine{}}
	h, err := New(Config{Engine: l, Retention: Retention{Events: 10}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, h.Close()) })
	events := make([]*Event, n)
	for i := range events {
		topic := fmt.Sprint("often.", i%10)
		switch {
		case i%1000 == 999:
			topic = "seldom"
		case i == 1 || i == 40_000:
			topic = "rare"
		}
		events[i] = &Event{Topic: topic, Data: []byte("1")}
	}
	_, err = h.Publish(t.Context(), events...)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return !h.replay.updateLossIndex(t.Context(), h.lowWatermark(), n) }, time.Minute, 1)
	for _, row := range []struct {
		filters string
		last    int
		want    int
		looks   int
	}{
		{"rare", 10, 2, 2},
		{"rare", 1, 1, 1},
		{"none", 10, 0, 0},
		{"seldom", 10, 10, 10},
		{"seldom", 1000, 60, 60},
	} {
		before, sought := 0, 0
		l.withLock(func() { before, sought = l.elementsRead, l.newestCalls })
		s := subscribeToLog(t, h, row.filters, Start{Last: row.last})
		var got []*Event
		for b := s.next(t); len(b.Events) > 0; b = s.next(t) {
			require.Nil(t, b.Gap)
			got = append(got, b.Events...)
		}
		require.Len(t, got, row.want, row.filters)
		for _, e := range got {
			require.Equal(t, row.filters, e.Topic)
			require.Equal(t, events[e.ID.Seq-1].ID, e.ID)
		}
		l.withLock(func() {
			require.LessOrEqual(t, l.elementsRead-before, row.looks+2, "only the newest events are read; the loss index may have read two elements")
			require.Equal(t, 1, l.newestCalls-sought)
		})
	}
}

// Events that are removed after the scan has found them cause no gap, and the others are delivered.
func TestRemovedNewestEventsAreNoGap(t *testing.T) {
	l := &seekEngine{logEngine: &logEngine{}}
	h, err := New(Config{Engine: l, Retention: Retention{Events: 10}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, h.Close()) })
	for i := range 5000 {
		topic := "other"
		if i%1000 == 0 {
			topic = "a"
		}
		_, err := h.Publish(t.Context(), &Event{Topic: topic, Data: []byte("1")})
		require.NoError(t, err)
	}
	s := subscribeToLog(t, h, "a", Start{Last: 5})
	<-s.wakeup // the start was located
	l.withLock(func() { l.log.gone = 1500 })
	var got []uint64
	for b := s.next(t); len(b.Events) > 0 || b.Gap != nil; b = s.next(t) {
		require.Nil(t, b.Gap)
		for _, e := range b.Events {
			got = append(got, e.ID.Seq)
		}
	}
	require.Equal(t, []uint64{2001, 3001, 4001}, got)
}
