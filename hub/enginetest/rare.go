package enginetest

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub"
)

// countedEngine counts the calls of ReadMatching.
type countedEngine struct {
	hub.Engine
	hub.Log
	hub.Seeker
	hub.BatchPublisher
	hub.Eraser
	matcher hub.MatchReader
	calls   atomic.Int64
}

// ReadMatching implements hub.MatchReader.
func (e *countedEngine) ReadMatching(ctx context.Context, set hub.FilterSet, seq, through uint64, limit hub.ReadLimit) ([]*hub.Event, error) {
	e.calls.Add(1)
	return e.matcher.ReadMatching(ctx, set, seq, through, limit)
}

// countCalls returns an engine that counts the calls of ReadMatching, and the counter. If the engine does not
// implement all interfaces that countedEngine needs, it returns the engine itself and nil.
func countCalls(engine hub.Engine) (hub.Engine, *atomic.Int64) {
	log, isLog := engine.(hub.Log)
	seeker, seeks := engine.(hub.Seeker)
	batches, publishesEach := engine.(hub.BatchPublisher)
	eraser, erases := engine.(hub.Eraser)
	matcher, matches := engine.(hub.MatchReader)
	if !isLog || !seeks || !publishesEach || !erases || !matches {
		return engine, nil
	}
	e := &countedEngine{Engine: engine, Log: log, Seeker: seeker, BatchPublisher: batches, Eraser: eraser, matcher: matcher}
	return e, &e.calls
}

// Positions in the log of testRareTopics.
const (
	rareEvents          = 16_000
	denseFrom, denseEnd = 9_000, 10_500 // events of rare.a, more than a filtered chunk can contain
)

// rareTopic returns the topic of an event in the log of testRareTopics.
func rareTopic(i int) string {
	switch {
	case i >= denseFrom && i < denseEnd:
		return "rare.a"
	case i%480 >= 477: // some filtered reads end within such a group of three
		return "rare.a"
	case i%1300 == 5:
		return "rare.b"
	case i == rareEvents-3000:
		return "rare.c.d"
	}
	return fmt.Sprint("busy.", i%3)
}

// testRareTopics checks subscribers whose filters match few events of a long log. An engine that is a
// hub.MatchReader reads these events without the events between them. The stretch from denseFrom to
// denseEnd does not fit into one such read. Every subscriber must receive exactly the events that a
// live subscriber has received, except the erased events.
func testRareTopics(t *testing.T, newEngine func(*testing.T, hub.Retention) hub.Engine) {
	engine, calls := countCalls(newEngine(t, hub.Retention{}))
	config := hub.Config{Engine: engine}
	if _, ok := engine.(hub.Log); ok {
		config.Retention.Events = shortMemlog
	}
	h, err := hub.New(config)
	require.NoError(t, err)
	begin := h.Position()
	all := publishRare(t, h)
	erased := map[hub.Cursor]bool{}
	for _, i := range []int{477, 5_757, 5_758, denseFrom + 512, denseFrom + 513, rareEvents - 300} {
		RequireErase(t, h, all[i].ID, nil)
		erased[all[i].ID] = true
	}
	end := publish(t, h, "rare.a")
	check := func(set hub.FilterSet, after int) {
		cursor, rest := begin, all
		if after >= 0 {
			cursor, rest = all[after].ID, all[after+1:]
		}
		var want []*hub.Event
		for _, e := range rest {
			if set.Match(e.Topic) && !erased[e.ID] {
				want = append(want, e)
			}
		}
		r := Subscribe(t, h, hub.Request{Filters: set, Start: hub.Start{Cursor: &cursor}})
		r.Until(end.Seq)
		got := slices.DeleteFunc(r.Events, func(e *hub.Event) bool { return e.ID.Seq >= end.Seq })
		require.Empty(t, r.Gaps, "after %d", after)
		require.Equal(t, idsOf(want), idsOf(got), "after %d", after)
	}
	many := []string{"rare.a"}
	for i := range 15 {
		many = append(many, fmt.Sprint("none.", i))
	}
	for _, set := range []hub.FilterSet{
		Set(t, many...), Set(t, "rare.a"), Set(t, "rare.b"), Set(t, "rare.*", "rare.a"), Set(t, "rare.>"), Set(t, "rare.c.d", "none"), Set(t, "none"),
	} {
		for _, after := range []int{-1, 4_711, denseFrom + 100, rareEvents - 100} {
			check(set, after)
		}
	}
	// On a slow machine, the hub may have read these events without ReadMatching. The test subscribes
	// again until the hub has called ReadMatching.
	for start := time.Now(); calls != nil && calls.Load() == 0; {
		require.Less(t, time.Since(start), Patience, "ReadMatching was not called")
		check(Set(t, "rare.b"), -1)
	}
	require.NoError(t, h.Close())
}

// publishRare publishes the events of testRareTopics, and returns them as a live subscriber has received them.
func publishRare(t *testing.T, h *hub.Hub) []*hub.Event {
	live := Subscribe(t, h, hub.Request{Filters: Set(t, ">")})
	for i := 0; i < rareEvents; i += 500 {
		topics := make([]string, 500)
		for j := range topics {
			topics[j] = rareTopic(i + j)
		}
		last, err := h.PublishEach(t.Context(), batchOf(topics...)...)
		require.NoError(t, err)
		live.Until(last.Seq)
	}
	require.Empty(t, live.Gaps)
	require.Len(t, live.Events, rareEvents)
	live.sub.Close()
	return live.Events
}
