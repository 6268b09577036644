package hub

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The following methods run a search to its end. The hub runs it in pieces, and releases the lock
// between them.

func (l *memlog) beforeLast(set FilterSet, n int) (position uint64, found int) {
	s := l.newLastSearch(set, n)
	for !l.searchLast(s) {
	}
	return s.position, s.found
}

func (t *topicTree) find(s *lossSearch) lossResult {
	for {
		if v, done := t.searchLosses(s, 3); done {
			return v
		}
	}
}

func (l *memlog) losses(set FilterSet, seq uint64, conflate bool) (certain, possible bool) {
	if seq >= l.lowWatermark {
		return false, false
	}
	v := l.topics.find(newLossSearchAfter(set, seq, conflate))
	return v.kind == certainLoss, v.kind != noLoss
}

func (l *memlog) lossesSince(set FilterSet, t time.Time, conflate bool) (certain, possible bool) {
	v := l.topics.find(newLossSearchSince(set, t, conflate))
	return v.kind == certainLoss, v.kind != noLoss
}

func (l *memlog) sinceAll(set FilterSet, t time.Time, conflate bool) uint64 {
	return l.positionSince(t, l.topics.find(newLossSearchSince(set, t, conflate)))
}

// deepMemlog returns an in-memory log with n events of n topics. The topics have 16 tokens and differ only in
// the 14th and the 15th.
func deepMemlog(n int) *memlog {
	l := newMemlog(Retention{Events: n, GapTopics: 4 * n}.withDefaults(), 0) // topics with several tokens of their own need a higher GapTopics
	at := time.Unix(1e9, 0)
	for seq := range uint64(n) {
		topic := fmt.Sprintf("a.b.c.d.e.f.g.h.i.j.k.l.m.%d.%d.p", seq%100, seq)
		l.add(&Event{ID: Cursor{1, seq + 1}, Topic: topic, Time: at})
	}
	return l
}

// The test counts the events and topics that a search visits before it releases the lock. It uses the
// most expensive request: 64 filters for which a search must visit all topics, and which match none.
func TestPiecesAreBounded(t *testing.T) {
	const n = 20_000
	l := deepMemlog(n)
	set := NewFilterSet(agreeingFilters(rand.New(rand.NewPCG(1, 1)), 64)...)

	last, pieces := l.newLastSearch(set, 1000), 1
	for before := last.before; !l.searchLast(last); before, pieces = last.before, pieces+1 {
		require.LessOrEqual(t, before-last.before, uint64(maxVisits))
	}
	require.Equal(t, n/maxVisits+1, pieces)
	require.Zero(t, last.found)
	require.Equal(t, uint64(n), last.position)

	for position := uint64(0); position < n; {
		before := position
		_, position = l.read(nil, set, before, ReadLimit{1000, 1 << 20}, false, new(bool))
		require.LessOrEqual(t, position-before, uint64(maxVisits))
	}

	for !l.clear() { // repeat until all events are removed
	}
	looked := 0
	lost := newLossSearchAfter(set, 0, false)
	lost.counts = func(m lossMark) bool { looked++; return m.seq > 0 }
	pieces = 0
	for done := false; !done; pieces++ {
		looked = 0
		_, done = l.topics.searchLosses(lost, maxVisits)
		require.LessOrEqual(t, looked, 2*maxVisits+maxTopicSearch)
	}
	require.GreaterOrEqual(t, pieces, n/maxVisits)
	require.Empty(t, l.topics.suspended)
}

// A search releases the lock between its pieces. Events that are published or removed in the
// meantime do not change its result.
func TestSearchContinuesWhileTheLogChanges(t *testing.T) {
	l := newMemlog(Retention{Events: 50, GapTopics: 1000}.withDefaults(), 0)
	l.topics.searchLimit = 0
	seq := uint64(0)
	add := func(topic string) {
		seq++
		l.add(&Event{ID: Cursor{1, seq}, Topic: topic, Time: time.Unix(1e9, 0)})
		l.trim(time.Unix(1e9, 0))
	}
	add("wanted")
	for i := range 200 {
		add(fmt.Sprint("other.", i))
	}
	lost := newLossSearchAfter(setOf("*"), 0, false)
	_, done := l.topics.searchLosses(lost, 10)
	require.False(t, done)
	for i := range 150 { // removes events of topics at which the search was suspended, and of others
		add(fmt.Sprint("other.", i))
	}
	abandoned := newLossSearchAfter(setOf("*.none"), 0, false)
	_, done = l.topics.searchLosses(abandoned, 10)
	require.False(t, done)
	v := l.topics.find(lost)
	require.Equal(t, certainLoss, v.kind)
	require.Equal(t, uint64(1), v.seq)
	l.topics.cancelSearch(abandoned)
	require.Empty(t, l.topics.suspended)

	last, newest := l.newLastSearch(setOf("other.*"), 30), l.lastSeq
	l.visits = 10
	require.False(t, l.searchLast(last))
	for range 15 {
		add("other.new")
	}
	for !l.searchLast(last) {
	}
	require.Equal(t, 30, last.found)
	require.Equal(t, newest-30, last.position, "events published after the start of the search are not counted")
}

// While a search visits the whole log, a publisher can still take the lock.
func TestLocateReleasesTheLock(t *testing.T) {
	h := startHub(t, Config{})
	for i := range 100 {
		_, err := h.Publish(t.Context(), &Event{Topic: fmt.Sprint("a.", i, ".b")})
		require.NoError(t, err)
	}
	h.memlog.visits = 1
	pieces := 0
	h.inPieces(func() bool {
		pieces++
		return pieces == 2
	})
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 50 {
				s, err := h.Subscribe(Request{Filters: setOf("*.*.none"), Start: Start{Last: 10}}, NewWakeup())
				if assert.NoError(t, err) {
					assert.GreaterOrEqual(t, s.Position().Seq, uint64(100))
					s.Close()
				}
			}
		})
	}
	for range 1000 {
		_, err := h.Publish(t.Context(), &Event{Topic: "a.1.b"})
		require.NoError(t, err)
	}
	all.Wait()
	require.Empty(t, h.turns)
}

// If the first piece of a read finds that its filters select too many topics to merge, the next
// pieces do not search the topics again. The search would cost more than the pieces themselves.
func TestReadRemembersScatteredTopics(t *testing.T) {
	h := startHub(t, Config{})
	for i := range 100 {
		_, err := h.Publish(t.Context(), &Event{Topic: fmt.Sprint("a.", i, ".b")})
		require.NoError(t, err)
	}
	s, err := h.Subscribe(Request{Filters: setOf("*.*.none"), Start: Start{Cursor: &Cursor{h.epoch, 0}}}, NewWakeup())
	require.NoError(t, err)
	defer s.Close()
	h.memlog.visits, h.memlog.topics.searchLimit = 10, 0
	require.True(t, s.Read(wideLimit).More)
	require.Equal(t, uint64(10), s.position)
	h.memlog.topics.searchLimit = maxTopicSearch // with this limit, another search would find that no topic is selected
	require.True(t, s.Read(wideLimit).More)
	require.Equal(t, uint64(20), s.position)
	s.SetFilters(setOf("*.*.nothing"))
	require.False(t, s.Read(wideLimit).More, "the search starts again with new filters")
	require.Equal(t, uint64(100), s.position)
}
