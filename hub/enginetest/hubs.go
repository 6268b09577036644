package enginetest

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub"
)

// shortMemlog is the number of events in the in-memory log of a hub with a durable log, unless a
// test sets another number. Older events are read from the durable log.
const shortMemlog = 200

// withHub runs a test with a hub that has a new engine.
func withHub(t *testing.T, newEngine func(*testing.T, hub.Retention) hub.Engine, keep hub.Retention, run func(*testing.T, *hub.Hub)) {
	t.Helper()
	config := hub.Config{Engine: newEngine(t, keep), Retention: keep}
	if _, ok := config.Engine.(hub.Log); ok && keep.Events == 0 {
		config.Retention.Events = shortMemlog // older events are read from the durable log
	}
	h, err := hub.New(config)
	require.NoError(t, err)
	run(t, h)
	require.NoError(t, h.Close())
}

// runHubs checks the promises that need both an engine and a hub.
func runHubs(t *testing.T, newEngine func(*testing.T, hub.Retention) hub.Engine) {
	for _, test := range []struct {
		name string
		keep hub.Retention
		run  func(*testing.T, *hub.Hub)
	}{
		{"last", hub.Retention{}, testLast},
		{"replay from every position", hub.Retention{}, testReplay},
		{"starts", hub.Retention{}, testStarts},
		{"start in a growing log", hub.Retention{}, testStartInGrowingLog},
		{"retention", hub.Retention{Events: 40}, testRetention},
		{"idempotency keys", hub.Retention{}, testIdempotencyKeys},
		{"publish each", hub.Retention{}, testPublishEach},
		{"erase", hub.Retention{}, testErase},
		{"erase what retention removes", hub.Retention{Events: 40}, testEraseRetention},
		{"erase under load", hub.Retention{}, testEraseUnderLoad},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			withHub(t, newEngine, test.keep, test.run)
		})
	}
	t.Run("all expired", func(t *testing.T) {
		t.Parallel()
		done := false
		for attempts := 0; !done && attempts < 20; attempts++ {
			withHub(t, newEngine, hub.Retention{Age: 400 * time.Millisecond}, func(t *testing.T, h *hub.Hub) {
				done = testAllExpired(t, h)
			})
		}
		require.True(t, done)
	})
	t.Run("rare topics", func(t *testing.T) { testRareTopics(t, newEngine) })
}

func publish(t *testing.T, h *hub.Hub, topics ...string) hub.Cursor {
	t.Helper()
	last, err := h.Publish(t.Context(), batchOf(topics...)...)
	require.NoError(t, err)
	return last
}

// history publishes single events and batches, and returns the events as a live subscriber received them.
func history(t *testing.T, h *hub.Hub, batches int) []*hub.Event {
	t.Helper()
	live := Subscribe(t, h, hub.Request{Filters: Set(t, ">")})
	want := 0
	for i := range batches {
		topics := []string{fmt.Sprint("many.", i)}
		if i%5 == 1 {
			topics = []string{"a", "b.c", "a"}
		}
		live.Until(publish(t, h, topics...).Seq)
		want += len(topics)
	}
	require.Empty(t, live.Gaps)
	require.Len(t, live.Events, want)
	return live.Events
}

// testReplay checks that a subscriber that resumes at any position receives all matching events
// after it.
func testReplay(t *testing.T, h *hub.Hub) {
	begin := h.Position()
	all := history(t, h, 30)
	for _, set := range []hub.FilterSet{Set(t, ">"), Set(t, "a"), Set(t, "many.*", "b.>"), Set(t, "none")} {
		resumeEverywhere(t, h, begin, all, set, func(after hub.Cursor, want []string, r *Reader) {
			require.Empty(t, r.Gaps)
			require.Equal(t, want, idsOf(r.Events), "after %v", after)
		})
	}
}

// resumeEverywhere subscribes at every position from begin on. When a reader has read everything,
// resumeEverywhere calls check with it and with the IDs of the expected events.
func resumeEverywhere(t *testing.T, h *hub.Hub, begin hub.Cursor, all []*hub.Event, set hub.FilterSet, check func(after hub.Cursor, want []string, r *Reader)) {
	t.Helper()
	for i := range len(all) + 1 {
		after := begin
		if i > 0 {
			after = all[i-1].ID
		}
		var matching []*hub.Event
		for _, e := range all[i:] {
			if set.Match(e.Topic) {
				matching = append(matching, e)
			}
		}
		r := Subscribe(t, h, hub.Request{Filters: set, Start: hub.Start{Cursor: &after}})
		r.Until(all[len(all)-1].ID.Seq)
		check(after, idsOf(matching), r)
	}
}

// testLast checks that Last delivers the newest N matching events without a gap, wherever they are
// in the log, or all matching events if there are fewer. New events must follow.
func testLast(t *testing.T, h *hub.Hub) {
	live := Subscribe(t, h, hub.Request{Filters: Set(t, ">")})
	for i := range 20 {
		batch := slices.Repeat([]string{"busy"}, 100)
		batch[3] = fmt.Sprint("once.", i)
		if i%8 == 0 {
			batch[50], batch[90] = "rare.a", "rare.b"
		}
		live.Until(publish(t, h, batch...).Seq)
	}
	for _, set := range []hub.FilterSet{
		Set(t, ">"), Set(t, "busy"), Set(t, "rare.a"), Set(t, "rare.*", "*.a"), Set(t, "once.0"), Set(t, "once.19", "none"), Set(t, "once.>"), Set(t, "none"),
	} {
		for _, n := range []int{1, 2, 5, 150, 700, hub.MaxLast} {
			r := Subscribe(t, h, hub.Request{Filters: set, Start: hub.Start{Last: n}})
			before := len(live.Events)
			last := publish(t, h, "busy", "rare.a", "once.0")
			r.Until(last.Seq)
			live.Until(last.Seq)
			var want []*hub.Event
			for i, e := range slices.Backward(live.Events) {
				if set.Match(e.Topic) && (i >= before || n > 0) {
					want = append(want, e)
					if i < before {
						n--
					}
				}
			}
			slices.Reverse(want)
			require.Equal(t, idsOf(want), idsOf(r.Events))
			require.Empty(t, r.Gaps)
		}
	}
}

// testAllExpired checks which gaps are reported for a log whose events have all expired. It returns false if
// the result cannot be checked: on a busy machine, events may expire before the hub receives them, and the
// hub does not know their topics.
func testAllExpired(t *testing.T, h *hub.Hub) bool {
	begin := h.Position()
	live := Subscribe(t, h, hub.Request{Filters: Set(t, ">")})
	last := publish(t, h, "a", "b", "a")
	if live.Until(last.Seq); len(live.Events) < 3 {
		t.Log("events expired before the hub received them")
		return false
	}
	read := func(start hub.Start, filter string) *Reader {
		r := Subscribe(t, h, hub.Request{Filters: Set(t, filter), Start: start})
		r.Until(last.Seq)
		return r
	}
	require.Eventually(t, func() bool { return len(read(hub.Start{Cursor: &begin}, ">").Events) == 0 }, Patience, 20*time.Millisecond)
	now := time.Now()
	for _, row := range []struct {
		name, filter string
		start        hub.Start
		gap          bool
	}{
		{"cursor", "a", hub.Start{Cursor: &begin}, true},
		{"cursor, another topic", "c", hub.Start{Cursor: &begin}, false},
		{"the newest cursor", "a", hub.Start{Cursor: &last}, false},
		{"since before", "a", hub.Start{Since: now.Add(-time.Hour)}, true},
		{"since before, another topic", "c", hub.Start{Since: now.Add(-time.Hour)}, false},
		{"since now", "a", hub.Start{Since: now}, false},
		{"last", "a", hub.Start{Last: 5}, false},
	} {
		r := read(row.start, row.filter)
		require.Empty(t, r.Events, row.name)
		if !row.gap {
			require.Empty(t, r.Gaps, row.name)
			continue
		}
		require.Len(t, r.Gaps, 1, row.name)
		require.Equal(t, hub.GapExpired, r.Gaps[0].Reason, row.name)
		require.True(t, r.Gaps[0].Certain, row.name)
		require.Equal(t, row.start.Cursor == nil, r.Gaps[0].After == "", row.name)
	}
	return true
}

func idsOf(events []*hub.Event) (ids []string) {
	for _, e := range events {
		ids = append(ids, e.ID.String()+e.Topic)
	}
	return ids
}

// testStarts checks cursors of other epochs, cursors beyond the newest event, and starts without a
// cursor.
func testStarts(t *testing.T, h *hub.Hub) {
	all := history(t, h, 10)
	last := all[len(all)-1].ID
	past, other := hub.Cursor{Epoch: last.Epoch, Seq: last.Seq + 1000}, hub.Cursor{Epoch: last.Epoch + 1, Seq: last.Seq}
	for _, row := range []struct {
		name  string
		start hub.Start
		gap   hub.GapReason
		want  []*hub.Event
	}{
		{"the newest", hub.Start{Cursor: &last}, "", nil},
		{"past the end", hub.Start{Cursor: &past}, hub.GapFuture, all},
		{"another epoch", hub.Start{Cursor: &other}, hub.GapEpoch, all},
		{"foreign", hub.Start{ForeignCursor: "42"}, hub.GapEpoch, all},
		{"last 3", hub.Start{Last: 3}, "", all[len(all)-3:]},
		{"since the epoch", hub.Start{Since: time.Unix(1, 0)}, "", all},
		{"since an event", hub.Start{Since: all[4].Time}, "", all[4:]},
	} {
		t.Run(row.name, func(t *testing.T) {
			first := slices.IndexFunc(all, func(e *hub.Event) bool {
				return len(row.want) > 0 && !e.Time.Before(row.want[0].Time)
			})
			if row.name == "since an event" {
				row.want = all[first:] // several events may have the same time
			}
			r := Subscribe(t, h, hub.Request{Filters: Set(t, ">"), Start: row.start})
			r.Until(last.Seq)
			require.Equal(t, idsOf(row.want), idsOf(r.Events))
			if row.gap == "" {
				require.Empty(t, r.Gaps)
				return
			}
			require.Len(t, r.Gaps, 1)
			require.Equal(t, row.gap, r.Gaps[0].Reason)
			require.False(t, r.Gaps[0].Certain)
			require.Less(t, r.Gaps[0].ResumedAt.Seq, all[0].ID.Seq)
		})
	}
}

// testStartInGrowingLog checks that subscribers that start anywhere in a growing log receive all
// events after their start, each once and in order.
func testStartInGrowingLog(t *testing.T, h *hub.Hub) {
	const readers, batches = 12, 400
	var running sync.WaitGroup
	var published atomic.Int64
	end := make(chan hub.Cursor, 1)
	running.Go(func() {
		var last hub.Cursor
		for i := range batches {
			runtime.Gosched()
			var err error
			if i%20 == 0 {
				last, err = h.Publish(context.Background(), batchOf("x", "y", "x")...)
			} else {
				last, err = h.PublishEach(context.Background(), batchOf(slices.Repeat([]string{"x"}, 1+i%9)...)...)
			}
			if err != nil {
				t.Error(err)
				break
			}
			published.Add(1)
		}
		end <- last
	})
	begin := h.Position()
	joined := make([]*Reader, readers)
	for i := range readers {
		for published.Load() < int64(i*batches/readers) && len(end) == 0 {
			time.Sleep(time.Millisecond)
		}
		start := begin
		if i%2 == 1 {
			start = h.Position()
		}
		joined[i] = Subscribe(t, h, hub.Request{Filters: Set(t, ">"), Start: hub.Start{Cursor: &start}})
		joined[i].Until(h.Position().Seq)
	}
	last := <-end
	running.Wait()
	joined[0].Until(last.Seq)
	all := idsOf(joined[0].Events)
	for _, r := range joined {
		r.Until(last.Seq)
		require.Empty(t, r.Gaps)
		if len(r.Events) == 0 {
			continue // the reader started after the last event
		}
		require.Equal(t, all[len(all)-len(r.Events):], idsOf(r.Events))
		require.Equal(t, uint64(len(r.Events)), last.Seq-r.Events[0].ID.Seq+1, "the reader received every seq from its first event on")
	}
	require.Len(t, joined[2].Events, len(all))
}

// testRetention checks that a gap is reported if and only if retention has removed a matching
// event, and that all other matching events are delivered.
func testRetention(t *testing.T, h *hub.Hub) {
	begin := h.Position()
	all := history(t, h, 80)
	missed := map[bool]int{}
	for _, set := range []hub.FilterSet{Set(t, ">"), Set(t, "a"), Set(t, "many.3"), Set(t, "many.70"), Set(t, "none")} {
		resumeEverywhere(t, h, begin, all, set, func(after hub.Cursor, want []string, r *Reader) {
			got := idsOf(r.Events)
			require.LessOrEqual(t, len(got), len(want))
			lost := len(want) - len(got)
			require.Equal(t, want[lost:], append(want[:0:0], got...), "after %v", after)
			if lost == 0 {
				require.Empty(t, r.Gaps, "nothing was lost after %v", after)
			} else {
				require.Len(t, r.Gaps, 1)
				require.Equal(t, hub.Gap{Reason: hub.GapExpired, After: after.String(), ResumedAt: r.Gaps[0].ResumedAt, Certain: true}, r.Gaps[0])
			}
			missed[lost > 0]++
		})
	}
	require.Positive(t, missed[true], "at least one case loses an event")
	require.Positive(t, missed[false])
}

// testIdempotencyKeys checks that a second publish with the same idempotency key stores no event.
func testIdempotencyKeys(t *testing.T, h *hub.Hub) {
	for _, topics := range [][]string{{"a"}, {"a", "b", "c"}} {
		key := fmt.Sprint("key of ", len(topics))
		first, err := h.PublishOnce(t.Context(), "me", key, batchOf(topics...)...)
		require.NoError(t, err)
		require.Equal(t, len(topics), first.Count)
		again, err := h.PublishOnce(t.Context(), "me", key, batchOf(topics...)...)
		require.NoError(t, err)
		require.Equal(t, first, again)
		_, err = h.PublishOnce(t.Context(), "me", key, batchOf("other")...)
		require.ErrorIs(t, err, hub.ErrKeyReused)
		other, err := h.PublishOnce(t.Context(), "you", key, batchOf(topics...)...)
		require.NoError(t, err)
		require.Equal(t, first.Last.Seq+uint64(len(topics)), other.Last.Seq)
	}
}

// testPublishEach checks that PublishEach and PublishInOrder, which may store only some of the
// events, store all of them if nothing fails.
func testPublishEach(t *testing.T, h *hub.Hub) {
	topics := make([]string, 1500)
	for i := range topics {
		topics[i] = fmt.Sprint("t.", i)
	}
	inOrder := func(ctx context.Context, events ...*hub.Event) (hub.Cursor, error) {
		return h.PublishInOrder(ctx, events[:min(len(events), 1000)]...)
	}
	for _, publish := range []func(context.Context, ...*hub.Event) (hub.Cursor, error){h.PublishEach, inOrder} {
		begin := h.Position()
		last, err := publish(t.Context(), batchOf(topics...)...)
		require.NoError(t, err)
		r := Subscribe(t, h, hub.Request{Filters: Set(t, ">"), Start: hub.Start{Cursor: &begin}})
		r.Until(last.Seq)
		require.Equal(t, topics[:len(r.Events)], topicsOf(r.Events))
		require.GreaterOrEqual(t, len(r.Events), 1000)
		require.Equal(t, last, r.Events[len(r.Events)-1].ID)
		_, err = publish(t.Context(), batchOf("good", "not good")...)
		require.ErrorAs(t, err, new(*hub.InvalidError))
	}
}
