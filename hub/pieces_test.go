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

// What follows does all pieces of a search at once.

func (w *window) beforeLast(set FilterSet, n int) (position uint64, found int) {
	s := w.newLastSearch(set, n)
	for !w.searchLast(s) {
	}
	return s.position, s.found
}

func (t *topicTree) find(s *lossSearch) verdict {
	for {
		if v, done := t.searchLosses(s, 3); done {
			return v
		}
	}
}

func (w *window) losses(set FilterSet, seq uint64, conflate bool) (certain, possible bool) {
	if seq >= w.floor {
		return false, false
	}
	v := w.topics.find(newAfter(set, seq, conflate))
	return v.certain, v.possible
}

func (w *window) lossesSince(set FilterSet, t time.Time, conflate bool) (certain, possible bool) {
	v := w.topics.find(newSince(set, t, conflate))
	return v.certain, v.possible
}

func (w *window) sinceAll(set FilterSet, t time.Time, conflate bool) uint64 {
	return w.since(t, w.topics.find(newSince(set, t, conflate)))
}

// deepWindow has n events, of as many topics as there are, which wildcards can tell apart by the last token
// alone.
func deepWindow(n int) *window {
	w := newWindow(Retention{Events: n, GapTopics: 4 * n}.withDefaults(), 0) // each of several tokens of its own
	at := time.Unix(1e9, 0)
	for seq := range uint64(n) {
		topic := fmt.Sprintf("a.b.c.d.e.f.g.h.i.j.k.l.m.%d.%d.p", seq%100, seq)
		w.add(&Event{ID: Cursor{1, seq + 1}, Topic: topic, Time: at})
	}
	return w
}

// TestPiecesAreBounded counts what is looked at in one hold of the lock, by those who ask for the most: with
// 64 filters that lead everywhere and select nothing.
func TestPiecesAreBounded(t *testing.T) {
	const n = 20_000
	w := deepWindow(n)
	set := NewFilterSet(agreeingFilters(rand.New(rand.NewPCG(1, 1)), 64)...)

	last, pieces := w.newLastSearch(set, 1000), 1
	for before := last.before; !w.searchLast(last); before, pieces = last.before, pieces+1 {
		require.LessOrEqual(t, before-last.before, uint64(maxLooks))
	}
	require.Equal(t, n/maxLooks+1, pieces)
	require.Zero(t, last.found)
	require.Equal(t, uint64(n), last.position)

	for position := uint64(0); position < n; {
		before := position
		_, position = w.read(nil, set, before, ReadLimit{1000, 1 << 20}, false, new(bool))
		require.LessOrEqual(t, position-before, uint64(maxLooks))
	}

	for !w.clear() { // all of it is lost
	}
	looked := 0
	lost := newAfter(set, 0, false)
	lost.late = func(m mark) bool { looked++; return m.seq > 0 }
	pieces = 0
	for done := false; !done; pieces++ {
		looked = 0
		_, done = w.topics.searchLosses(lost, maxLooks)
		require.LessOrEqual(t, looked, 2*maxLooks+maxSearch)
	}
	require.GreaterOrEqual(t, pieces, n/maxLooks)
	require.Empty(t, w.topics.walks)
}

// TestSearchGoesOnWhileTheLogDoes: what is published and removed between two pieces of a search changes
// neither what it was asked for nor what it finds.
func TestSearchGoesOnWhileTheLogDoes(t *testing.T) {
	w := newWindow(Retention{Events: 50, GapTopics: 1000}.withDefaults(), 0)
	w.topics.reach = 0
	seq := uint64(0)
	add := func(topic string) {
		seq++
		w.add(&Event{ID: Cursor{1, seq}, Topic: topic, Time: time.Unix(1e9, 0)})
		w.trim(time.Unix(1e9, 0))
	}
	add("wanted")
	for i := range 200 {
		add(fmt.Sprint("other.", i))
	}
	lost := newAfter(setOf("*"), 0, false)
	_, done := w.topics.searchLosses(lost, 10)
	require.False(t, done)
	for i := range 150 { // topics at which the search stands lose more, and so do others
		add(fmt.Sprint("other.", i))
	}
	abandoned := newAfter(setOf("*.none"), 0, false)
	_, done = w.topics.searchLosses(abandoned, 10)
	require.False(t, done)
	v := w.topics.find(lost)
	require.True(t, v.certain)
	require.Equal(t, uint64(1), v.seq)
	w.topics.cancel(abandoned)
	require.Empty(t, w.topics.walks)

	last := w.newLastSearch(setOf("other.*"), 30)
	w.looks = 10
	require.False(t, w.searchLast(last))
	for range 15 {
		add("other.new")
	}
	for !w.searchLast(last) {
	}
	require.Equal(t, 30, last.found)
	require.Equal(t, last.head-30, last.position, "what came later does not count")
}

// TestLocateLeavesTheLockToOthers: somebody who looks through all of the log does not keep a publisher from
// the lock.
func TestLocateLeavesTheLockToOthers(t *testing.T) {
	h := startHub(t, Config{})
	for i := range 100 {
		_, err := h.Publish(t.Context(), &Event{Topic: fmt.Sprint("a.", i, ".b")})
		require.NoError(t, err)
	}
	h.window.looks = 1
	pieces := 0
	h.inPieces(func() bool {
		pieces++
		return pieces == 2
	})
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 50 {
				s, err := h.Subscribe(Request{Filters: setOf("*.*.none"), Start: Start{Last: 10}}, NewBell())
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

// TestReadRemembersScatteredTopics: a read that found the topics of its filters to be too many to merge does
// not look for them again in its next pieces, which would cost more than the pieces.
func TestReadRemembersScatteredTopics(t *testing.T) {
	h := startHub(t, Config{})
	for i := range 100 {
		_, err := h.Publish(t.Context(), &Event{Topic: fmt.Sprint("a.", i, ".b")})
		require.NoError(t, err)
	}
	s, err := h.Subscribe(Request{Filters: setOf("*.*.none"), Start: Start{Cursor: &Cursor{h.epoch, 0}}}, NewBell())
	require.NoError(t, err)
	defer s.Close()
	h.window.looks, h.window.topics.reach = 10, 0
	require.True(t, s.Read(wide).More)
	require.Equal(t, uint64(10), s.position)
	h.window.topics.reach = maxSearch // with which a search would find that no topic is selected
	require.True(t, s.Read(wide).More)
	require.Equal(t, uint64(20), s.position)
	s.SetFilters(setOf("*.*.nothing"))
	require.False(t, s.Read(wide).More, "other filters are looked for")
	require.Equal(t, uint64(100), s.position)
}
