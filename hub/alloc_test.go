//go:build !race

package hub

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A feed's round is no allocation, however many take it and wherever they stand, nor is what each
// takes of it. (The race detector allocates where nothing else does.)
func TestRoundAllocatesNothing(t *testing.T) {
	const subscribers, burst, runs = 100, 10, 50
	encode := func(e *Event) []byte { return e.Data }
	l := newMemlog(Retention{}.withDefaults(), 0)
	g := &group{set: setOf("a.>")}
	for range subscribers {
		g.attach(&Subscription{batchGroup: g})
	}
	var events []*Event
	for i := range (runs + 1) * burst {
		e := &Event{ID: Cursor{1, uint64(i) + 1}, Topic: "a.b", Data: make([]byte, 200)}
		e.cache = &l.cache
		e.Encoded(0, encode) // which it keeps
		events = append(events, e)
	}
	var b Batch
	all := true
	require.Zero(t, testing.AllocsPerRun(runs, func() { // and one to warm up
		for range burst {
			g.push(events[l.lastSeq])
			l.lastSeq++ // as if the window had it
		}
		g.subs[0].Advance(g.pending[0].ID.Seq) // one stands elsewhere
		g.nextBatch(&b, l)
		for _, s := range g.subs {
			start, ok := s.Offset(&b)
			all = all && ok && start < len(b.Events)
			for start < len(b.Events) {
				_, start = b.Coalesce(0, encode, start)
			}
			s.Advance(b.To)
		}
		b.dropEvents()
	}))
	require.True(t, all, "had something to take")
	for _, s := range g.subs {
		require.Equal(t, l.lastSeq, s.position)
	}
}
