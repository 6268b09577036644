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
	w := newWindow(Retention{}.withDefaults(), 0)
	f := &feed{set: setOf("a.>")}
	for range subscribers {
		f.attach(&Subscription{rounds: f})
	}
	var events []*Event
	for i := range (runs + 1) * burst {
		e := &Event{ID: Cursor{1, uint64(i) + 1}, Topic: "a.b", Data: make([]byte, 200)}
		e.encodings = &w.cache
		e.Form(0, encode) // which it keeps
		events = append(events, e)
	}
	var r Round
	all := true
	require.Zero(t, testing.AllocsPerRun(runs, func() { // and one to warm up
		for range burst {
			f.push(events[w.head])
			w.head++ // as if the window had it
		}
		f.subs[0].Skip(f.pending[0].ID.Seq) // one stands elsewhere
		f.next(&r, w)
		for _, s := range f.subs {
			start, ok := s.Take(&r)
			all = all && ok && start < len(r.Events)
			for start < len(r.Events) {
				_, start = r.Join(0, encode, start)
			}
			s.Skip(r.To)
		}
		r.release()
	}))
	require.True(t, all, "had something to take")
	for _, s := range f.subs {
		require.Equal(t, w.head, s.position)
	}
}
