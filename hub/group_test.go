package hub

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// groupModel is a group and the in-memory log that it reads. want contains the events that were not in a
// batch yet.
type groupModel struct {
	w    *memlog
	g    *group
	r    Batch
	to   uint64 // end of the last batch
	want []*Event
}

// Each batch of a group begins where the previous one ended, and contains exactly the events that
// match the group's set, even if the pending events exceed their limits or retention removes
// events.
func TestBatchesAreContiguous(t *testing.T) {
	large := make([]byte, maxPendingBytes/3)
	rapid.Check(t, func(t *rapid.T) {
		keep := Retention{Events: rapid.SampledFrom([]int{5, 500, 1 << 20}).Draw(t, "retain"), Bytes: 1 << 40}
		m := &groupModel{
			w: newMemlog(keep.withDefaults(), 0),
			g: &group{set: rapid.SampledFrom(memlogSets[1:]).Draw(t, "set")},
		}
		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) { m.push(rapid.SampledFrom(memlogTopics).Draw(t, "topic"), nil) },
			"push large": func(t *rapid.T) {
				for range rapid.IntRange(1, 7).Draw(t, "n") {
					m.push(rapid.SampledFrom(memlogTopics).Draw(t, "topic"), large)
				}
			},
			"burst": func(t *rapid.T) {
				for i := range rapid.IntRange(1, 5*maxPendingEvents).Draw(t, "n") {
					m.push(memlogTopics[i%len(memlogTopics)], nil)
				}
			},
			"next": m.next,
		})
		for len(m.g.pending) > 0 || m.g.overflow {
			m.next(t)
		}
		require.Empty(t, m.want)
	})
}

func (m *groupModel) push(topic string, data []byte) {
	e := &Event{ID: Cursor{1, m.w.lastSeq + 1}, Topic: topic, Data: data}
	m.w.add(e)
	if m.g.set.Match(topic) {
		m.want = append(m.want, e)
		m.g.push(e)
		m.g.push(e) // as if another filter of the set matched the event too
	}
	m.w.trim(e.Time)
}

func (m *groupModel) next(t *rapid.T) {
	b := &m.r
	if !m.g.nextBatch(b, m.w) {
		require.Empty(t, m.want)
		require.False(t, m.g.overflow)
		m.to = m.w.lastSeq
		return
	}
	require.GreaterOrEqual(t, b.From, m.to)
	if b.From > m.to { // the group fell behind: a subscription before From gets the gap when it reads
		require.Equal(t, m.w.lowWatermark, b.From)
	}
	for len(m.want) > 0 && m.want[0].ID.Seq <= b.From {
		m.want = m.want[1:]
	}
	n := 0
	for n < len(m.want) && m.want[n].ID.Seq <= b.To {
		n++
	}
	require.Equal(t, ids(m.want[:n]), ids(b.Events))
	m.want, m.to = m.want[n:], b.To
	b.dropEvents()
}

// Calls of Coalesce with the same encoding and start return the same bytes. A coalesced write is as
// long as the limit allows. If it contains a single event, its bytes are the event's own encoding, not
// a buffer that a later batch overwrites, so a connection may keep them.
func TestCoalescedBytesAreShared(t *testing.T) {
	sizes := []int{10, 20, maxCoalescedBytes - 30, 1, 2 * maxCoalescedBytes, 5, maxCoalescedBytes, 1}
	var batch Batch
	for range 3 { // the second and third batch reuse the buffers of the first
		var events []*Event
		for i, n := range sizes {
			e := &Event{ID: Cursor{1, uint64(i) + 1}, Data: make([]byte, n)}
			for j := range e.Data {
				e.Data[j] = byte(i)
			}
			events = append(events, e)
		}
		batch.fill(nil, 0, 8, events)
		encoded := 0
		encode := func(e *Event) []byte { encoded++; return e.Data }
		ends := make([]int, len(events))
		for start := range events {
			b, end := batch.Coalesce(0, encode, start)
			again, sameEnd := batch.Coalesce(0, encode, start)
			require.Same(t, &b[0], &again[0])
			require.Equal(t, end, sameEnd)
			var want []byte
			for _, e := range events[start:end] {
				want = append(want, e.Data...)
			}
			require.Equal(t, want, b)
			if end == start+1 {
				require.Same(t, &events[start].Data[0], &b[0])
			}
			ends[start] = end
		}
		require.Equal(t, []int{3, 4, 4, 4, 5, 6, 7, 8}, ends)
		other, _ := batch.Coalesce(1, func(*Event) []byte { return []byte("other") }, 0)
		require.Equal(t, "otherotherotherotherotherotherotherother", string(other))
		batch.dropEvents()
	}
}
