package hub

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

var (
	memlogTopics = []string{"a", "b", "a.b", "a.c", "b.c.d", "x.1", "x.2", "x.3"}
	memlogSets   = []FilterSet{
		setOf(), setOf("a"), setOf("none"), setOf("a.b", "none"), setOf("a", "b", "a.b", "x.2"),
		setOf(">"), setOf("a.*"), setOf("x.*", "b"), setOf("*.b", "a.>", "x.1"), setOf("*"),
	}
)

func TestMemlogModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &memlogModel{
			now: time.Unix(1e9, 0),
			keep: Retention{
				Events:    rapid.IntRange(1, 30).Draw(t, "events"),
				Bytes:     rapid.Int64Range(1, 20_000).Draw(t, "bytes"),
				Age:       time.Duration(rapid.IntRange(1, 20).Draw(t, "age")) * time.Second,
				GapTopics: rapid.SampledFrom([]int{1, 2, 3, 5, 100}).Draw(t, "gap topics"),
			},
		}
		m.w = newMemlog(m.keep, 0)
		m.w.topics.searchLimit = rapid.SampledFrom([]int{0, 3, 10, maxTopicSearch}).Draw(t, "reach")
		t.Repeat(map[string]func(*rapid.T){
			"add":     m.add,
			"add two": func(t *rapid.T) { m.add(t); m.add(t) },
			"trim": func(t *rapid.T) {
				m.w.trim(m.now)
				m.trim()
			},
			"age": func(t *rapid.T) {
				m.now = m.now.Add(time.Duration(rapid.IntRange(0, 5000).Draw(t, "ms")) * time.Millisecond)
			},
			"attach": m.attach,
			"read":   m.read,
			"lost":   m.lost,
			"last":   m.last,
			"since":  m.since,
			"":       m.check,
		})
	})
}

func (m *memlogModel) add(t *rapid.T) {
	e := &Event{
		ID:    Cursor{1, m.lastSeq() + rapid.SampledFrom([]uint64{1, 1, 1, 2, 7}).Draw(t, "step")},
		Topic: rapid.SampledFrom(memlogTopics).Draw(t, "topic"),
		Key:   rapid.SampledFrom([]string{"", "k", "l"}).Draw(t, "key"),
		Data:  make([]byte, rapid.IntRange(0, 1000).Draw(t, "size")),
		Time:  m.now,
	}
	m.w.add(e)
	m.events = append(m.events, &modelEvent{Event: e})
}

// attach adds an attachment to a random event, or detaches it. The event may be one that was removed,
// because a reader may have read it before the removal.
func (m *memlogModel) attach(t *rapid.T) {
	if len(m.events) == 0 {
		return
	}
	e := rapid.SampledFrom(m.events).Draw(t, "event")
	if e.attached != nil && rapid.Bool().Draw(t, "detach") {
		require.Equal(t, !e.removed, e.Detach(e.attached))
		if !e.removed {
			e.attached = nil
		}
		return
	}
	a := &Attachment{Owner: e}
	require.False(t, e.Detach(a))
	ok := !e.removed && e.attached == nil
	require.Equal(t, ok, e.Attach(a))
	if ok {
		e.attached = a
	}
}

func (m *memlogModel) read(t *rapid.T) {
	set := rapid.SampledFrom(memlogSets).Draw(t, "set")
	conflate := rapid.Bool().Draw(t, "conflate")
	seq := rapid.Uint64Range(m.w.lowWatermark, m.lastSeq()+1).Draw(t, "position")
	limit := ReadLimit{rapid.IntRange(1, 12).Draw(t, "events"), rapid.IntRange(1, 6000).Draw(t, "bytes")}
	want, reached, size := m.eventsAfter(set, seq, conflate), m.lastSeq(), 0
	for i, e := range want {
		if size += int(e.size()); i > 0 && size > limit.Bytes || i == limit.Events {
			want, reached = want[:i], want[i-1].ID.Seq
			break
		}
	}
	got, to := m.w.read(nil, set, seq, limit, conflate, new(bool))
	require.Equal(t, ids(want), ids(got))
	require.Equal(t, reached, to)
}

func ids(events []*Event) []uint64 {
	seqs := make([]uint64, len(events))
	for i, e := range events {
		seqs[i] = e.ID.Seq
	}
	return seqs
}

func (m *memlogModel) lost(t *rapid.T) {
	set := rapid.SampledFrom(memlogSets).Draw(t, "set")
	conflate := rapid.Bool().Draw(t, "conflate")
	seq := rapid.Uint64Range(0, m.lastSeq()+1).Draw(t, "position")
	certain, possible := m.w.losses(set, seq, conflate)
	m.requireLosses(t, set, conflate, func(e *modelEvent) bool { return e.ID.Seq > seq }, certain, possible)
}

func (m *memlogModel) requireLosses(t *rapid.T, set FilterSet, conflate bool, counts func(*modelEvent) bool, certain, possible bool) {
	truth, wantCertain, wantPossible := m.losses(set, conflate, counts)
	// The in-memory log may report a loss as certain although the model has forgotten it, because forgetting
	// a loss does not change the aggregates in innerNode.
	require.True(t, certain || !wantCertain, "every certain loss of the model is reported as certain")
	require.Equal(t, wantPossible, possible, "possible losses equal those of the model")
	require.True(t, possible || !truth, "every loss is reported")
	require.True(t, truth || !certain, "a loss that did not happen is not reported as certain")
	if m.keep.GapTopics >= len(memlogTopics) {
		require.Equal(t, truth, possible, "losses are reported exactly while no topic is forgotten")
	}
}

func (m *memlogModel) last(t *rapid.T) {
	set := rapid.SampledFrom(memlogSets).Draw(t, "set")
	n := rapid.IntRange(1, 12).Draw(t, "n")
	want := m.eventsAfter(set, 0, false)
	want = want[max(0, len(want)-n):]
	from, found := m.w.beforeLast(set, n)
	require.Equal(t, ids(want), ids(m.eventsAfter(set, from, false)))
	require.Len(t, want, found)
	if len(want) == 0 {
		require.Equal(t, m.lastSeq(), from)
	}
}

func (m *memlogModel) since(t *rapid.T) {
	set := rapid.SampledFrom(memlogSets).Draw(t, "set")
	conflate := rapid.Bool().Draw(t, "conflate")
	at := m.now.Add(-time.Duration(rapid.IntRange(-1000, 30_000).Draw(t, "ms ago")) * time.Millisecond)
	counts := func(e *modelEvent) bool { return !e.Time.Before(at) }
	from := m.w.sinceAll(set, at, conflate)
	certain, possible := m.w.lossesSince(set, at, conflate)
	m.requireLosses(t, set, conflate, counts, certain, possible)
	_, resumed := m.w.losses(set, from, conflate)
	require.True(t, resumed || !possible, "a subscriber that resumes from this position gets the loss reported too")
	var want []*Event
	for _, e := range m.retained() {
		if counts(e) && set.Match(e.Topic) {
			want = append(want, e.Event)
		}
	}
	require.Equal(t, ids(want), ids(m.eventsAfter(set, from, false)))
}

// A hub whose in-memory log begins in the middle of a durable log knows neither which events preceded
// it nor their times. A start by time therefore reports a possible loss, unless the time is after the
// first known event.
func TestSinceBeforeTheKnownEvents(t *testing.T) {
	start := time.Unix(1e9, 0)
	l := newMemlog(Retention{}.withDefaults(), 100)
	lost := func(at time.Time) bool {
		_, possible := l.losses(setOf("a"), l.sinceAll(setOf("a"), at, false), false)
		return possible
	}
	require.True(t, lost(start), "a loss is possible while no event is known")
	l.add(&Event{ID: Cursor{1, 103}, Topic: "b", Time: start})
	require.True(t, lost(start.Add(-time.Second)))
	require.False(t, lost(start.Add(time.Second)))
}

// A resuming subscription visits only the missed events of its topic, even if other topics have
// many events.
func TestResumeVisitsOnlyMissedEvents(t *testing.T) {
	l := newMemlog(Retention{}.withDefaults(), 0)
	seq := uint64(0)
	add := func(topic string) {
		seq++
		l.add(&Event{ID: Cursor{1, seq}, Topic: topic})
	}
	for i := range DefaultRetainEvents {
		if i%1000 == 0 {
			add("mine")
		}
		add(fmt.Sprint("other.", i%100))
	}
	for _, set := range []FilterSet{setOf("mine"), setOf("mine", "none", "nothing"), setOf("*", "none.>")} {
		m, looked := l.merge(set, 0, false, new(bool)), 0
		for e := m.next(); e != nil; e = m.next() {
			require.Equal(t, "mine", e.Topic)
			looked++
		}
		require.Equal(t, 66, looked)
		got, reached := l.read(nil, set, l.topics.byName["mine"].log.at(60).ID.Seq, ReadLimit{100, 1 << 20}, false, new(bool))
		require.Len(t, got, 5)
		require.Equal(t, seq, reached)
	}
}

// One read holds the lock for a bounded time: it ends after visiting maxVisits events that do not
// match.
func TestReadVisitsAtMostMaxVisits(t *testing.T) {
	l := newMemlog(Retention{}.withDefaults(), 0)
	// The constant unrelated is the number of events that do not match. The later events have more
	// topics than a read can merge.
	const unrelated, n = 3 * maxVisits, 3*maxVisits + 100
	for seq := range uint64(n) {
		topic := "other"
		if seq >= unrelated {
			topic = fmt.Sprint("a.", seq)
		}
		l.add(&Event{ID: Cursor{1, seq + 1}, Topic: topic})
	}
	var got []*Event
	position, reads := uint64(0), 0
	for ; position < n; reads++ {
		before := position
		got, position = l.read(got, setOf("a.*"), before, ReadLimit{1000, 1 << 20}, false, new(bool))
		require.LessOrEqual(t, position-before, uint64(maxVisits))
		require.Less(t, before, position)
	}
	require.Len(t, got, n-unrelated)
	require.Equal(t, 4, reads)
}

func TestRemovedTopicsLeaveNoMemory(t *testing.T) {
	const retain, gapTopics = 1000, 2000
	w := newMemlog(Retention{Events: retain, Bytes: 1 << 30, Age: time.Hour, GapTopics: gapTopics}, 0)
	at := time.Unix(1e9, 0)
	for seq := range uint64(500_000) {
		e := &Event{ID: Cursor{1, seq + 1}, Topic: fmt.Sprint("t.", seq), Key: "k", Time: at}
		w.add(e)
		w.trim(at)
	}
	for range 2 { // in the second round, the remaining events have expired by age
		require.LessOrEqual(t, w.topics.retained, retain)
		require.LessOrEqual(t, len(w.latest), retain)
		require.LessOrEqual(t, len(w.events.ring), 4*retain)
		require.Equal(t, gapTopics, w.topics.lossTopics)
		require.LessOrEqual(t, len(w.topics.byName), retain+gapTopics)
		require.LessOrEqual(t, len(w.topics.root.inner.children["t"].inner.children), retain+gapTopics)
		linked := 0
		for l := w.topics.oldest; l != nil; l = l.newer {
			linked++
		}
		require.Equal(t, gapTopics, linked)
		for !w.trim(at.Add(2 * time.Hour)) {
		}
	}
	require.Zero(t, w.topics.retained)
	require.Len(t, w.topics.byName, gapTopics)
	require.Empty(t, w.latest)
	require.LessOrEqual(t, len(w.events.ring), minRing)
	require.Zero(t, w.bytes)
	require.Equal(t, [3]uint64{499_000, 0, 1000}, w.removed)
	certain, possible := w.losses(setOf("t.499999"), 499_000, false)
	require.True(t, certain && possible)
	certain, possible = w.losses(setOf("t.5"), 1, false)
	require.True(t, !certain && possible, "a forgotten loss is reported as possible")
}

// If wildcards select too many topics, a search visits all events instead, and finds the same events.
func TestSearchFallsBackToAllEvents(t *testing.T) {
	const topics = 5 * maxTopicSearch
	l := newMemlog(Retention{Events: topics, Bytes: 1 << 30, Age: time.Hour, GapTopics: 3 * topics}, 0) // each topic has two tokens that no other topic has
	at := time.Unix(1e9, 0)
	for seq := range uint64(2 * topics) {
		l.add(&Event{ID: Cursor{1, seq + 1}, Topic: fmt.Sprintf("t%d.x%d", seq, seq%topics), Time: at})
		l.trim(at)
	}
	_, ok := l.topics.logs(setOf("*.x7"), 0)
	require.False(t, ok)
	got, _ := l.read(nil, setOf("*.x7"), topics, ReadLimit{10, 1 << 20}, false, new(bool))
	require.Equal(t, []uint64{topics + 8}, ids(got))
	position, found := l.beforeLast(setOf("*.x7"), 3)
	require.Equal(t, uint64(topics+7), position)
	require.Equal(t, 1, found)
	certain, possible := l.losses(setOf("*.x7"), 7, false)
	require.True(t, certain && possible)
	certain, possible = l.losses(setOf("*.x7"), 8, false)
	require.False(t, certain || possible)
	certain, possible = l.losses(setOf("*.none", "none.*"), 0, false)
	require.False(t, certain || possible)
}

// A set of many filters is matched by bit masks. It matches the same topics as the filters do
// individually.
func TestSetOfManyFiltersMatchesLikeItsFilters(t *testing.T) {
	var filters []string
	for i := range 3 * fewFilters {
		filters = append(filters, fmt.Sprintf("a.*.%d", i), fmt.Sprintf("b.%d.>", i))
	}
	set := setOf(append(filters, "*.*.last", "$own.x")...)
	for _, topic := range strings.Fields("a.q.3 a.q.99 a.3 b.5 b.5.x b.5.x.y b.99.x c.d.last $c.d.last $own.x last") {
		want := slices.ContainsFunc(set.Filters(), func(f Filter) bool { return f.Match(topic) })
		require.Equal(t, want, set.Match(topic), topic)
	}
}

// If many events expire at the same time, they are removed in pieces, and the lock is released
// between two pieces.
func TestRemovalIsBounded(t *testing.T) {
	l := newMemlog(Retention{}.withDefaults(), 0)
	at := time.Unix(1e9, 0)
	for seq := range uint64(2*maxRemovals + 1) {
		l.add(&Event{ID: Cursor{1, seq + 1}, Topic: "a", Time: at})
	}
	for _, left := range []int{maxRemovals + 1, 1} {
		require.False(t, l.trim(at.Add(time.Hour)))
		require.Equal(t, left, l.events.len())
	}
	require.True(t, l.trim(at.Add(time.Hour)))
	require.Zero(t, l.events.len())

	synctest.Test(t, func(t *testing.T) {
		h, err := New(Config{})
		require.NoError(t, err)
		defer h.Close()
		for range 5 * maxRemovals {
			_, err := h.Publish(context.Background(), &Event{Topic: "a", Data: []byte("1")})
			require.NoError(t, err)
		}
		time.Sleep(DefaultRetainAge + time.Second)
		require.Zero(t, h.Stats().RetainedEvents, "all expired events are removed")
	})
}
