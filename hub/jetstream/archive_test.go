package jetstream

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/hub/enginetest"
)

// longLog returns a hub with an in-memory log of 50 events and n events in the stream. The topics t.0 to
// t.9 repeat, but each event that would have the topic t.3 has the topic x instead.
func longLog(t *testing.T, n int) (*hub.Hub, *Engine, []*hub.Event) {
	t.Helper()
	h, e := startHub(t, Config{Store: t.TempDir(), Retention: hub.Retention{Events: 10 * n}}, hub.Retention{Events: 50})
	live := enginetest.Subscribe(t, h, hub.Request{Filters: enginetest.Set(t, ">")})
	for range n / 50 { // publishes at most as many events at a time as the in-memory log holds, so that no event is read from the stream yet
		batch := make([]*hub.Event, 50)
		for j := range batch {
			batch[j] = one(fmt.Sprint("t.", j%10))
			if j%10 == 3 {
				batch[j] = one("x")
				batch[j].Key = "k"
			}
		}
		last, err := h.Publish(t.Context(), batch...)
		require.NoError(t, err)
		live.Until(last.Seq)
	}
	require.Empty(t, live.Gaps)
	require.Len(t, live.Events, n)
	return h, e, live.Events
}

// A subscriber that starts at a cursor or a time before the oldest event of the in-memory log receives all
// later events that match its filter, as if the in-memory log were as long as the stream.
func TestReplayOlderThanMemory(t *testing.T) {
	h, _, all := longLog(t, 3000)
	tip := uint64(len(all))
	for i := range 40 {
		after := rand.Uint64N(tip)
		set := enginetest.Set(t, []string{">", "t.4", "x", "none"}[i%4])
		start := hub.Start{Cursor: &hub.Cursor{Epoch: all[0].ID.Epoch, Seq: after}}
		if i%5 == 4 {
			for after > 0 && all[after].Time.Equal(all[after-1].Time) {
				after--
			}
			start = hub.Start{Since: all[after].Time}
		}
		r := enginetest.Subscribe(t, h, hub.Request{Filters: set, Start: start})
		r.Until(tip)
		require.Empty(t, r.Gaps)
		var want []string
		for _, e := range all[after:] {
			if set.Match(e.Topic) {
				want = append(want, e.ID.String()+e.Topic)
			}
		}
		var got []string
		for _, e := range r.Events {
			got = append(got, e.ID.String()+e.Topic)
		}
		require.Equal(t, want, got, "after %d", after)
	}
	foreign := hub.Cursor{Epoch: all[0].ID.Epoch + 1, Seq: 5}
	r := enginetest.Subscribe(t, h, hub.Request{Filters: enginetest.Set(t, ">"), Start: hub.Start{Cursor: &foreign}})
	r.Until(tip)
	require.Len(t, r.Gaps, 1)
	require.Zero(t, r.Gaps[0].ResumedAt.Seq)
	require.Len(t, r.Events, len(all), "all retained events are delivered")

	conflated := enginetest.Subscribe(t, h, hub.Request{Filters: enginetest.Set(t, "x"), Conflate: true, Start: hub.Start{Cursor: &hub.Cursor{Epoch: all[0].ID.Epoch}}})
	conflated.Until(tip)
	require.Len(t, conflated.Events, 1, "only the newest event of a topic and key is delivered")
}

// Subscribers that read old events do not delay a subscriber that receives live events, and none of them
// misses an event.
func TestReplaysDoNotDelayLiveSubscribers(t *testing.T) {
	const readers = 60
	h, _, all := longLog(t, 5000)
	tip := uint64(len(all))
	live := enginetest.Subscribe(t, h, hub.Request{Filters: enginetest.Set(t, "live")})
	var running sync.WaitGroup
	for i := range readers {
		after := uint64(i * 20)
		r := enginetest.Subscribe(t, h, hub.Request{
			Filters: enginetest.Set(t, "t.>", "x"), Start: hub.Start{Cursor: &hub.Cursor{Epoch: all[0].ID.Epoch, Seq: after}},
		})
		running.Go(func() {
			for begin := time.Now(); !r.Reached(tip) && time.Since(begin) < enginetest.Patience; {
				time.Sleep(time.Millisecond)
			}
			if len(r.Gaps) > 0 || uint64(len(r.Events)) != tip-after {
				t.Errorf("after %d: %d events, %d gaps", after, len(r.Events), len(r.Gaps))
			}
		})
	}
	for range 20 {
		last, err := h.Publish(t.Context(), one("live"))
		require.NoError(t, err)
		live.Until(last.Seq)
	}
	running.Wait()
	require.Len(t, live.Events, 20)
	require.Empty(t, live.Gaps)
}

// Events that were deleted from the stream cause a gap for each subscriber that starts before them and whose
// filter matches one of them.
func TestDeletedRangesBecomeGaps(t *testing.T) {
	h, e, all := longLog(t, 500)
	stream, err := e.js.Stream(t.Context(), e.cfg.Stream)
	require.NoError(t, err)
	for _, seq := range []uint64{100, 101, 102, 200} {
		require.NoError(t, stream.DeleteMsg(t.Context(), seq))
	}
	at := func(seq uint64) hub.Cursor { return hub.Cursor{Epoch: all[0].ID.Epoch, Seq: seq} }
	gap := func(after, resumed uint64, certain bool) hub.Gap {
		return hub.Gap{Reason: hub.GapExpired, After: at(after).String(), ResumedAt: at(resumed), Certain: certain}
	}
	for _, row := range []struct {
		filter string
		after  uint64
		gaps   []hub.Gap
	}{
		{">", 150, []hub.Gap{gap(199, 200, true)}},
		{">", 199, []hub.Gap{gap(199, 200, true)}},
		{">", 90, []hub.Gap{gap(99, 102, true), gap(199, 200, true)}},
		{">", 101, []hub.Gap{gap(101, 102, true), gap(199, 200, true)}},
		{">", 200, nil},
		{"t.1", 90, []hub.Gap{gap(99, 102, true)}},
		{"t.1", 102, nil},
		{"t.4", 90, nil},
		{"none", 90, nil},
	} {
		start := at(row.after)
		r := enginetest.Subscribe(t, h, hub.Request{Filters: enginetest.Set(t, row.filter), Start: hub.Start{Cursor: &start}})
		r.Until(500)
		require.Equal(t, row.gaps, r.Gaps, "after %d", row.after)
		for _, e := range r.Events {
			require.NotContains(t, []uint64{100, 101, 102, 200}, e.ID.Seq)
		}
	}
	newest := enginetest.Subscribe(t, h, hub.Request{Filters: enginetest.Set(t, ">"), Start: hub.Start{Last: 450}})
	newest.Until(500)
	require.Empty(t, newest.Gaps, "no gap is reported, because none of the newest events was deleted")
	require.Len(t, newest.Events, 450)
}

// SeqAt returns the last sequence of the log if all events at or after the requested time were deleted.
func TestSinceWithDeletedNewestEvents(t *testing.T) {
	h, e, all := longLog(t, 500)
	last, err := h.Publish(t.Context(), one("late"))
	require.NoError(t, err)
	live := enginetest.Subscribe(t, h, hub.Request{Filters: enginetest.Set(t, "late"), Start: hub.Start{Last: 1}})
	live.Until(last.Seq)
	stream, err := e.js.Stream(t.Context(), e.cfg.Stream)
	require.NoError(t, err)
	require.NoError(t, stream.DeleteMsg(t.Context(), last.Seq))
	seq := retried(t, func() (uint64, error) { return e.SeqAt(t.Context(), live.Events[0].Time) })
	require.Equal(t, last.Seq, seq)
	seq = retried(t, func() (uint64, error) { return e.SeqAt(t.Context(), all[400].Time) })
	require.Less(t, seq, all[400].ID.Seq)
	require.False(t, all[seq].Time.Before(all[400].Time))
}

// If retention removes events from a stream that is longer than the in-memory log, a subscriber gets a
// gap if, and only if, it has missed an event that matches its filter.
func TestReplayReportsRetentionLossExactly(t *testing.T) {
	h, _ := startHub(t, Config{Store: t.TempDir(), Retention: hub.Retention{Events: 300}}, hub.Retention{Events: 50})
	live := enginetest.Subscribe(t, h, hub.Request{Filters: enginetest.Set(t, ">")})
	for i := range 20 {
		batch := make([]*hub.Event, 30)
		for j := range batch {
			batch[j] = one(fmt.Sprint("t.", j))
		}
		batch[7] = one(fmt.Sprint("rare.", i%10))
		last, err := h.Publish(t.Context(), batch...)
		require.NoError(t, err)
		live.Until(last.Seq)
	}
	all := live.Events
	gaps := 0
	for _, filter := range []string{">", "t.4", "rare.3", "rare.*", "rare.9", "t.7"} {
		set := enginetest.Set(t, filter)
		for after := 0; after < len(all); after += 37 {
			r := enginetest.Subscribe(t, h, hub.Request{Filters: set, Start: hub.Start{Cursor: &hub.Cursor{Epoch: all[0].ID.Epoch, Seq: uint64(after)}}})
			r.Until(uint64(len(all)))
			want := 0
			for _, e := range all[after:] {
				if set.Match(e.Topic) {
					want++
				}
			}
			lost := want - len(r.Events)
			require.Equal(t, lost > 0, len(r.Gaps) > 0, "%s after %d: %d lost, %v", filter, after, lost, r.Gaps)
			for _, gap := range r.Gaps {
				require.True(t, gap.Certain)
				gaps++
			}
		}
	}
	require.Positive(t, gaps)
}
