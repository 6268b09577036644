package enginetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub"
)

// RequireErase erases an event, and requires that Hub.Erase returns the parameter want, which is nil or
// hub.ErrNoEvent. It retries while the engine is unavailable. An attempt that failed may nevertheless have
// erased the event, so hub.ErrNoEvent from a later attempt counts as success.
func RequireErase(t *testing.T, h *hub.Hub, id hub.Cursor, want error, about ...any) {
	t.Helper()
	for begin, tries := time.Now(), 1; ; tries++ {
		err := h.Erase(t.Context(), id)
		switch {
		case errors.Is(err, hub.ErrUnavailable) && time.Since(begin) < Patience:
			time.Sleep(100 * time.Millisecond)
			continue
		case errors.Is(err, hub.ErrNoEvent) && tries > 1:
		case want == nil:
			require.NoError(t, err, about...)
		default:
			require.ErrorIs(t, err, want, about...)
		}
		return
	}
}

// testErase checks that no reader, from any start position, gets an erased event or a gap for it; that the ID of
// an erased event stays a valid cursor; and that all other events are unaffected.
func testErase(t *testing.T, h *hub.Hub) {
	begin := h.Position()
	live := Subscribe(t, h, hub.Request{Filters: Set(t, ">")})
	keyed, err := h.PublishOnce(t.Context(), "me", "key", batchOf("a", "b", "a")...)
	require.NoError(t, err)
	live.Until(keyed.Last.Seq)
	var last hub.Cursor
	for i := range 3 * shortMemlog { // with a durable log, the oldest events are then no longer in memory
		last = publish(t, h, []string{"a", "b", fmt.Sprint("c.", i%5)}[i%3])
	}
	live.Until(last.Seq)
	all := live.Events
	gone := map[hub.Cursor]bool{}
	n := len(all)
	for _, i := range []int{0, 1, 2, 50, 51, n / 2, n - 3, n - 1} {
		RequireErase(t, h, all[i].ID, nil, "event %d", i)
		gone[all[i].ID] = true
		RequireErase(t, h, all[i].ID, hub.ErrNoEvent)
	}
	for _, id := range []hub.Cursor{{Epoch: begin.Epoch + 1, Seq: last.Seq - 4}, {Epoch: begin.Epoch}, {Epoch: begin.Epoch, Seq: last.Seq + 1000}} {
		RequireErase(t, h, id, hub.ErrNoEvent)
	}
	again, err := h.PublishOnce(t.Context(), "me", "key", batchOf("a", "b", "a")...)
	require.NoError(t, err)
	require.Equal(t, keyed, again, "the recorded receipt stays the same after an erasure")
	end := publish(t, h, "a")
	live.Until(end.Seq)
	require.Empty(t, live.Gaps)
	all = live.Events
	for _, set := range []hub.FilterSet{Set(t, ">"), Set(t, "a"), Set(t, "c.*")} {
		for _, i := range []int{-1, 0, 1, 2, 3, 49, 50, 51, 52, n/2 - 1, n / 2, n - 4, n - 3, n - 2, n - 1} {
			after := begin
			if i >= 0 {
				after = all[i].ID
			}
			r := Subscribe(t, h, hub.Request{Filters: set, Start: hub.Start{Cursor: &after}})
			r.Until(end.Seq)
			var want []*hub.Event
			for _, e := range all[i+1:] {
				if set.Match(e.Topic) && !gone[e.ID] {
					want = append(want, e)
				}
			}
			require.Empty(t, r.Gaps, "after event %d", i)
			require.Equal(t, idsOf(want), idsOf(r.Events), "after event %d", i)
		}
		for _, start := range []hub.Start{{Last: hub.MaxLast}, {Since: all[0].Time}} {
			r := Subscribe(t, h, hub.Request{Filters: set, Start: start})
			r.Until(end.Seq)
			require.Empty(t, r.Gaps)
			for _, e := range r.Events {
				require.False(t, gone[e.ID], "%v", e.ID)
			}
		}
	}
	require.EqualValues(t, len(gone), h.Stats().Erased)
}

// testEraseRetention checks that an event that was erased is not reported as lost when retention
// removes it.
func testEraseRetention(t *testing.T, h *hub.Hub) {
	begin := h.Position()
	live := Subscribe(t, h, hub.Request{Filters: Set(t, ">")})
	live.Until(publish(t, h, "a", "b", "only.once", "a", "b").Seq)
	only := live.Events[2]
	RequireErase(t, h, only.ID, nil)
	var last hub.Cursor
	for range 80 {
		last = publish(t, h, "a")
		live.Until(last.Seq)
	}
	for topic, gaps := range map[string]int{"only.once": 0, "b": 1, "a": 1} {
		r := Subscribe(t, h, hub.Request{Filters: Set(t, topic), Start: hub.Start{Cursor: &begin}})
		r.Until(last.Seq)
		require.Len(t, r.Gaps, gaps, topic)
	}
	require.Empty(t, live.Gaps)
	RequireErase(t, h, live.Events[0].ID, hub.ErrNoEvent, "an event that retention removed cannot be erased")
}

// testEraseUnderLoad starts readers at random positions while events are published and erased. No
// reader may receive a gap or an event that was erased before the reader started, and each must
// receive all events that were not erased.
func testEraseUnderLoad(t *testing.T, h *hub.Hub) {
	const batches = 120
	begin := h.Position()
	live := Subscribe(t, h, hub.Request{Filters: Set(t, ">")})
	rng := rand.New(rand.NewPCG(1, 2))
	gone := map[hub.Cursor]bool{}
	published := make(chan hub.Cursor, batches)
	var publishing sync.WaitGroup
	defer publishing.Wait()
	publishing.Go(func() {
		defer close(published)
		for i := range batches {
			last, err := h.PublishEach(context.Background(), batchOf("a", fmt.Sprint("b.", i%3), "a")...)
			if err != nil {
				t.Error(err)
				return
			}
			published <- last
		}
	})
	var last hub.Cursor
	n := 0
	for last = range published {
		live.Until(last.Seq)
		id := live.Events[rng.IntN(len(live.Events))].ID
		if !gone[id] {
			RequireErase(t, h, id, nil)
			gone[id] = true
		}
		if n++; n%10 > 0 && n < batches {
			continue
		}
		set := Set(t, []string{">", "a", "b.*"}[n%3])
		after := begin
		if n%20 == 0 && n < batches {
			after = live.Events[rng.IntN(len(live.Events))].ID
		}
		r := Subscribe(t, h, hub.Request{Filters: set, Start: hub.Start{Cursor: &after}})
		r.Until(last.Seq)
		require.Empty(t, r.Gaps)
		var want []string
		for _, e := range live.Events {
			if e.ID.Seq > after.Seq && e.ID.Seq <= last.Seq && set.Match(e.Topic) && !gone[e.ID] {
				want = append(want, e.ID.String()+e.Topic)
			}
		}
		got := slices.DeleteFunc(r.Events, func(e *hub.Event) bool { return e.ID.Seq > last.Seq }) // the reader may have read events after last
		require.Equal(t, want, idsOf(got), "after %v", after)
	}
	require.Empty(t, live.Gaps)
	require.Len(t, live.Events, 3*batches)
	require.EqualValues(t, len(gone), h.Stats().Erased)
}
