//go:build !race

package hub

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestBatchAllocatesNothing checks that offering a batch allocates no memory, regardless of the
// number of subscribers, their positions and the events that they read. It is not built with the
// race detector, which allocates memory itself.
func TestBatchAllocatesNothing(t *testing.T) {
	const subscribers, burst, runs = 100, 10, 50
	encode := func(e *Event) []byte { return e.Data }
	l := newMemlog(Retention{}.withDefaults(), 0)
	g := &group{set: setOf("a.>")}
	var subs []*Subscription
	for range subscribers {
		s := &Subscription{batchGroup: g}
		g.attach(&s.subscriber, maxShardSize)
		subs = append(subs, s)
	}
	var events []*Event
	for i := range (runs + 1) * burst {
		e := &Event{ID: Cursor{1, uint64(i) + 1}, Topic: "a.b", Data: make([]byte, 200)}
		events = append(events, e)
	}
	var b Batch
	all := true
	require.Zero(t, testing.AllocsPerRun(runs, func() { // AllocsPerRun also makes one call to warm up
		for range burst {
			g.push(events[l.lastSeq])
			l.lastSeq++ // as if the in-memory log had received the event
		}
		subs[0].Advance(g.pending[0].ID.Seq) // this subscriber has already read the first event
		g.nextBatch(&b, l)
		for _, s := range subs {
			start, ok := s.Offset(&b)
			all = all && ok && start < len(b.Events)
			for start < len(b.Events) {
				_, start = b.Coalesce(0, encode, start)
			}
			s.Advance(b.To)
		}
		b.dropEvents()
	}))
	require.True(t, all, "every subscriber has unread events")
	for _, s := range subs {
		require.Equal(t, l.lastSeq, s.position)
	}
}

// TestShortQueueKeepsItsBuffer checks that a queue that becomes empty again and again, such as the fan-out queue with
// one group, allocates no memory.
func TestShortQueueKeepsItsBuffer(t *testing.T) {
	var d deque[int]
	require.Zero(t, testing.AllocsPerRun(10, func() { // AllocsPerRun also makes one call to warm up
		for n := range minRing + 1 {
			for i := range n {
				d.push(i)
			}
			for range n {
				d.pop()
			}
		}
	}))
	for i := range 1000 {
		d.push(i)
	}
	for range 1000 {
		d.pop()
	}
	require.LessOrEqual(t, len(d.ring), minRing, "a long buffer is released")
}
