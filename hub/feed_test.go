package hub

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// feedModel is a feed over a window, and the events that its rounds have yet to bring.
type feedModel struct {
	w    *window
	f    *feed
	r    Round
	to   uint64 // of the last round
	want []*Event
}

// The rounds of a feed follow each other without a hole or an overlap, and have just the events
// of its set, whatever came between two of them: overflow by number, by bytes, retention.
func TestFeedRounds(t *testing.T) {
	large := make([]byte, maxPendingBytes/3)
	rapid.Check(t, func(t *rapid.T) {
		keep := Retention{Events: rapid.SampledFrom([]int{5, 500, 1 << 20}).Draw(t, "retain"), Bytes: 1 << 40}
		m := &feedModel{
			w: newWindow(keep.withDefaults(), 0),
			f: &feed{set: rapid.SampledFrom(windowSets[1:]).Draw(t, "set")},
		}
		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) { m.push(rapid.SampledFrom(windowTopics).Draw(t, "topic"), nil) },
			"push large": func(t *rapid.T) {
				for range rapid.IntRange(1, 7).Draw(t, "n") {
					m.push(rapid.SampledFrom(windowTopics).Draw(t, "topic"), large)
				}
			},
			"burst": func(t *rapid.T) {
				for i := range rapid.IntRange(1, 5*maxPendingEvents).Draw(t, "n") {
					m.push(windowTopics[i%len(windowTopics)], nil)
				}
			},
			"next": m.next,
		})
		for len(m.f.pending) > 0 || m.f.overflow {
			m.next(t)
		}
		require.Empty(t, m.want)
	})
}

func (m *feedModel) push(topic string, data []byte) {
	e := &Event{ID: Cursor{1, m.w.head + 1}, Topic: topic, Data: data}
	m.w.add(e)
	if m.f.set.Match(topic) {
		m.want = append(m.want, e)
		m.f.push(e)
		m.f.push(e) // as if a second filter selected it
	}
	m.w.trim(e.Time)
}

func (m *feedModel) next(t *rapid.T) {
	r := &m.r
	if !m.f.next(r, m.w) {
		require.Empty(t, m.want)
		require.False(t, m.f.overflow)
		m.to = m.w.head
		return
	}
	require.GreaterOrEqual(t, r.From, m.to)
	if r.From > m.to { // it was overtaken: who stands before finds the gap in the window
		require.Equal(t, m.w.floor, r.From)
	}
	for len(m.want) > 0 && m.want[0].ID.Seq <= r.From {
		m.want = m.want[1:]
	}
	n := 0
	for n < len(m.want) && m.want[n].ID.Seq <= r.To {
		n++
	}
	require.Equal(t, ids(m.want[:n]), ids(r.Events))
	m.want, m.to = m.want[n:], r.To
	r.release()
}

// Who asks for the same gets the same bytes, and a join is as long as it may be.
func TestRoundJoin(t *testing.T) {
	sizes := []int{10, 20, maxJoin - 30, 1, 2 * maxJoin, 5, maxJoin, 1}
	var r Round
	for range 3 { // the buffers are taken up again
		var events []*Event
		for i, n := range sizes {
			e := &Event{ID: Cursor{1, uint64(i) + 1}, Data: make([]byte, n)}
			for j := range e.Data {
				e.Data[j] = byte(i)
			}
			events = append(events, e)
		}
		r.reset(nil, 0, 8, events)
		encoded := 0
		encode := func(e *Event) []byte { encoded++; return e.Data }
		ends := make([]int, len(events))
		for start := range events {
			b, end := r.Join(0, encode, start)
			again, sameEnd := r.Join(0, encode, start)
			require.Same(t, &b[0], &again[0])
			require.Equal(t, end, sameEnd)
			var want []byte
			for _, e := range events[start:end] {
				want = append(want, e.Data...)
			}
			require.Equal(t, want, b)
			ends[start] = end
		}
		require.Equal(t, []int{3, 4, 4, 4, 5, 6, 7, 8}, ends)
		other, _ := r.Join(1, func(*Event) []byte { return []byte("other") }, 0)
		require.Equal(t, "otherotherotherotherotherotherotherother", string(other))
		r.release()
	}
}
