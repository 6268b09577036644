package hub

import (
	"slices"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// memlogModel is a naive model of the in-memory log: a list of all events ever added, in which
// removed events are marked. It computes each result by scanning the whole list.
type memlogModel struct {
	w       *memlog
	keep    Retention
	now     time.Time
	events  []*modelEvent
	removed [3]uint64
}

type modelEvent struct {
	*Event
	removed   bool
	live      bool // when the event was removed, no newer event had its topic and key
	attached  *Attachment
	discarded int // number of calls of Discard
}

func (m *memlogModel) retained() []*modelEvent {
	return slices.DeleteFunc(slices.Clone(m.events), func(e *modelEvent) bool { return e.removed })
}

func (m *memlogModel) lastSeq() uint64 {
	if len(m.events) == 0 {
		return 0
	}
	return m.events[len(m.events)-1].ID.Seq
}

// Discard implements Owner.
func (e *modelEvent) Discard() { e.discarded++ }

// hasNewer reports whether an event with e's topic and key was added after e.
func (m *memlogModel) hasNewer(e *modelEvent) bool {
	return e.Key != "" && slices.ContainsFunc(m.events, func(o *modelEvent) bool {
		return o.ID.Seq > e.ID.Seq && o.Topic == e.Topic && o.Key == e.Key
	})
}

func (m *memlogModel) trim() {
	kept := m.retained()
	for len(kept) > 0 {
		bytes := int64(0)
		for _, e := range kept {
			bytes += e.size()
		}
		bytes += sharedSize(kept)
		var why removal
		switch {
		case m.now.Sub(kept[0].Time) > m.keep.Age:
			why = removedByAge
		case len(kept) > max(1, m.keep.Events):
			why = removedByCount
		case len(kept) > 1 && bytes > m.keep.Bytes:
			why = removedByBytes
		default:
			return
		}
		kept[0].removed, kept[0].live = true, !m.hasNewer(kept[0])
		m.removed[why]++
		kept = kept[1:]
	}
}

// losses scans the removed events for which counts returns true. A loss is remembered until GapTopics other
// topics have lost an event after it. truth reports whether a matching event was lost. certain reports
// whether such a loss is still remembered. possible reports whether the in-memory log must report a loss, as
// certain or as possible.
func (m *memlogModel) losses(set FilterSet, conflate bool, counts func(*modelEvent) bool) (truth, certain, possible bool) {
	var gone []*modelEvent
	for _, e := range m.events {
		if e.removed {
			gone = append(gone, e)
		}
	}
	remembered := make([]bool, len(gone))
	for i := len(gone) - 1; i >= 0; i-- {
		others := make(map[string]bool)
		next := i + 1
		for next < len(gone) && gone[next].Topic != gone[i].Topic {
			others[gone[next].Topic] = true
			next++
		}
		kept := len(others) < m.keep.GapTopics
		if !kept && set.Len() > 0 && counts(gone[i]) {
			possible = true
		}
		remembered[i] = kept && (next == len(gone) || remembered[next])
		if counts(gone[i]) && set.Match(gone[i].Topic) && (gone[i].live || !conflate) {
			truth = true
			certain = certain || remembered[i]
		}
	}
	return truth, certain, certain || possible
}

// eventsAfter returns the events that a read after seq must return.
func (m *memlogModel) eventsAfter(set FilterSet, seq uint64, conflate bool) (events []*Event) {
	for _, e := range m.retained() {
		if e.ID.Seq > seq && set.Match(e.Topic) && !(conflate && m.hasNewer(e)) {
			events = append(events, e.Event)
		}
	}
	return events
}

// check compares all counters of the in-memory log with the model.
func (m *memlogModel) check(t *rapid.T) {
	l, kept := m.w, m.retained()
	require.Equal(t, len(kept), l.events.len())
	topics, latest := make(map[string]int), make(map[conflationKey]*Event)
	var bytes int64
	for i, e := range kept {
		require.Same(t, e.Event, l.events.at(i))
		topics[e.Topic]++
		bytes += e.size()
		if e.Key != "" {
			latest[conflationKey{e.Topic, e.Key}] = e.Event
		}
	}
	for _, e := range m.events {
		require.Equal(t, e.removed && e.attached != nil, e.discarded == 1)
		require.Equal(t, !e.removed && e.attached != nil, e.Attached() == Owner(e))
	}
	require.Equal(t, latest, l.latest)
	require.Equal(t, len(topics), l.topics.retained)
	for topic, n := range topics {
		require.Equal(t, n, l.topics.byName[topic].log.len())
	}
	require.Equal(t, bytes, l.bytes)
	require.Equal(t, bytes+sharedSize(kept), l.size())
	require.LessOrEqual(t, l.topics.lossTopics, m.keep.GapTopics)
	require.LessOrEqual(t, len(l.topics.byName), l.topics.retained+l.topics.lossTopics)
	require.Equal(t, m.removed, l.removed)
	require.Equal(t, m.lastSeq(), l.lastSeq)
}

// sharedSize returns the number of bytes that are counted only once for all events of a topic, or of a topic
// and key.
func sharedSize(kept []*modelEvent) (n int64) {
	topics, nodes, inner, keys := make(map[string]bool), make(map[string]bool), make(map[string]bool), make(map[conflationKey]bool)
	for _, e := range kept {
		topics[e.Topic] = true
		if e.Key != "" {
			keys[conflationKey{e.Topic, e.Key}] = true
		}
	}
	for topic := range topics {
		nodes[""], nodes[topic], inner[""] = true, true, true
		for i := range topic {
			if topic[i] == '.' {
				nodes[topic[:i]], inner[topic[:i]] = true, true
			}
		}
	}
	return int64(topicSize*len(topics) + nodeSize*len(nodes) + innerSize*len(inner) + latestSize*len(keys))
}
