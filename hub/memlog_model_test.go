package hub

import (
	"slices"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// windowModel is a window told naively: every event there ever was, and which are removed.
// Its answers are found by scanning all of them.
type windowModel struct {
	w       *memlog
	keep    Retention
	now     time.Time
	events  []*modelled
	removed [3]uint64
}

type modelled struct {
	*Event
	removed bool
	live    bool               // removed, and none of its topic and key had come after it
	forms   map[WireFormat]int // bytes kept
}

func (m *windowModel) retained() []*modelled {
	return slices.DeleteFunc(slices.Clone(m.events), func(e *modelled) bool { return e.removed })
}

func (m *windowModel) head() uint64 {
	if len(m.events) == 0 {
		return 0
	}
	return m.events[len(m.events)-1].ID.Seq
}

func (e *modelled) formBytes() (n int64) {
	for _, size := range e.forms {
		n += int64(size)
	}
	return n
}

// keeps reports whether an encoding of n bytes is kept. The oldest go for it, if they are older.
func (m *windowModel) keeps(e *modelled, n int64) bool {
	kept := m.retained()
	if e.removed || n > m.keep.Bytes/encodingShare {
		return false
	}
	for _, older := range kept {
		if formBytes(kept)+n > m.keep.Bytes/encodingShare && older.ID.Seq < e.ID.Seq {
			older.forms = nil
		}
	}
	return formBytes(kept)+n <= m.keep.Bytes/encodingShare
}

func formBytes(events []*modelled) (n int64) {
	for _, e := range events {
		n += e.formBytes()
	}
	return n
}

// newerOf reports that an event of the same topic and key has come after e.
func (m *windowModel) newerOf(e *modelled) bool {
	return e.Key != "" && slices.ContainsFunc(m.events, func(o *modelled) bool {
		return o.ID.Seq > e.ID.Seq && o.Topic == e.Topic && o.Key == e.Key
	})
}

func (m *windowModel) trim() {
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
		case len(kept) > 1 && bytes > m.keep.Bytes-m.keep.Bytes/encodingShare:
			why = removedByBytes
		default:
			return
		}
		kept[0].removed, kept[0].live = true, !m.newerOf(kept[0])
		kept[0].forms = nil
		m.removed[why]++
		kept = kept[1:]
	}
}

// losses scans all removals that late accepts. One is remembered as long as, between it and the
// next of its topic (or now), fewer than GapTopics other topics lost something.
func (m *windowModel) losses(set FilterSet, conflate bool, late func(*modelled) bool) (truth, certain, possible bool) {
	var gone []*modelled
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
		if !kept && set.Len() > 0 && late(gone[i]) {
			possible = true
		}
		remembered[i] = kept && (next == len(gone) || remembered[next])
		if late(gone[i]) && set.Match(gone[i].Topic) && (gone[i].live || !conflate) {
			truth = true
			certain = certain || remembered[i]
		}
	}
	return truth, certain, certain || possible
}

// follow gives what a read after seq has to find.
func (m *windowModel) follow(set FilterSet, seq uint64, conflate bool) (events []*Event) {
	for _, e := range m.retained() {
		if e.ID.Seq > seq && set.Match(e.Topic) && !(conflate && m.newerOf(e)) {
			events = append(events, e.Event)
		}
	}
	return events
}

// check compares all that can be counted.
func (m *windowModel) check(t *rapid.T) {
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
		var forms int64
		for at := e.Event.encodings.Load(); at != nil; at = at.next {
			forms += int64(len(at.bytes))
		}
		require.Equal(t, e.formBytes(), forms)
	}
	require.Equal(t, latest, l.latest)
	require.Equal(t, len(topics), l.topics.retained)
	for topic, n := range topics {
		require.Equal(t, n, l.topics.byName[topic].log.len())
	}
	require.Equal(t, bytes, l.bytes)
	require.Equal(t, bytes+sharedSize(kept), l.size())
	require.Equal(t, formBytes(kept), l.cache.bytes.Load())
	require.LessOrEqual(t, l.cache.bytes.Load(), m.keep.Bytes/encodingShare)
	require.LessOrEqual(t, l.topics.lossTopics, m.keep.GapTopics)
	require.LessOrEqual(t, len(l.topics.byName), l.topics.retained+l.topics.lossTopics)
	require.Equal(t, m.removed, l.removed)
	require.Equal(t, m.head(), l.lastSeq)
}

// sharedSize returns what the topics and keys of the events count, each once.
func sharedSize(kept []*modelled) (n int64) {
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
