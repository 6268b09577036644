package jetstream

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/hub/enginetest"
)

// readWith calls the function read until it has read the range (seq, through]. It returns the events of the set,
// and the sequences of the deleted ranges.
func readWith(t *testing.T, set hub.FilterSet, seq, through uint64, read func(seq uint64) ([]*hub.Event, error)) (events []string, missing map[uint64]bool) {
	t.Helper()
	missing = make(map[uint64]bool)
	for seq < through {
		elements := retried(t, func() ([]*hub.Event, error) { return read(seq) })
		require.NotEmpty(t, elements)
		for _, e := range elements {
			require.Greater(t, e.ID.Seq, seq, "the elements are in order")
			for at := seq + 1; e.Topic == "" && e.Erases == 0 && at <= min(e.ID.Seq, through); at++ {
				missing[at] = true
			}
			if seq = e.ID.Seq; seq <= through && set.Match(e.Topic) {
				events = append(events, fmt.Sprint(e.ID, e.Topic, e.Key, string(e.Data), e.Time))
			}
		}
	}
	return events, missing
}

// TestReadMatchingEqualsAScan compares ReadMatching with a read of all events, at random positions,
// while events are erased, lost and removed by retention.
func TestReadMatchingEqualsAScan(t *testing.T) {
	const n = 6000
	h, e := startHub(t, Config{Store: t.TempDir(), Retention: hub.Retention{Events: 1 << 20}}, hub.Retention{Events: 50})
	for i := 0; i < n; {
		var batch []*hub.Event
		for range 1000 {
			topic := fmt.Sprint("often.", rand.N(10))
			switch {
			case rand.N(100) == 0:
				topic = "sometimes"
			case rand.N(500) == 0:
				topic = fmt.Sprint("rare.", rand.N(3))
			case i < 1000 && i%2 == 0:
				topic = "early"
			}
			event := one(topic)
			event.Key = fmt.Sprint(i % 3)
			batch = append(batch, event)
			i++
		}
		_, err := h.PublishEach(t.Context(), batch...)
		require.NoError(t, err)
	}
	stream, err := e.js.Stream(t.Context(), e.cfg.Stream)
	require.NoError(t, err)
	sets := [][]string{{"sometimes"}, {"rare.0"}, {"rare.*"}, {"early"}, {"none"}, {"none.>"}, {"often.3"}, {"early", "rare.*", "sometimes"}}
	var erased []uint64
	for round := range 6 {
		switch round {
		case 1, 2, 4:
			for range 30 {
				seq := rand.N(uint64(n)) + 1
				if rand.N(2) == 0 {
					if h.Erase(t.Context(), hub.Cursor{Epoch: e.epoch, Seq: seq}) == nil { // the erasure of a deleted event fails
						erased = append(erased, seq)
					}
				} else {
					_ = stream.DeleteMsg(t.Context(), seq)
				}
			}
		case 3, 5:
			require.NoError(t, stream.Purge(t.Context(), jetstream.WithPurgeSequence(uint64(round)*150)))
		}
		for _, filters := range sets {
			set := enginetest.Set(t, filters...)
			through := rand.N(uint64(n)) + 1
			if len(erased) > 0 && rand.N(4) == 0 {
				through = erased[rand.N(len(erased))]
			}
			after := rand.N(through)
			if rand.N(3) == 0 {
				after = 0
			}
			limit := hub.ReadLimit{Events: []int{1, 7, 512}[rand.N(3)], Bytes: []int{1, 100, 1 << 20}[rand.N(3)]}
			if limit.Events < 512 || limit.Bytes < 1<<20 {
				through = min(through, after+200)
			}
			name := fmt.Sprint(round, filters, after, through, limit)
			want, wantGone := readWith(t, set, after, through, func(seq uint64) ([]*hub.Event, error) {
				return e.ReadAfter(t.Context(), seq, hub.ReadLimit{Events: 5000, Bytes: 8 << 20})
			})
			got, gotGone := readWith(t, set, after, through, func(seq uint64) ([]*hub.Event, error) {
				return e.ReadMatching(t.Context(), set, seq, through, limit)
			})
			require.Equal(t, want, got, name)
			for _, seq := range erased { // an erased event is not lost, but a read may report a lost range that includes it
				delete(wantGone, seq)
				delete(gotGone, seq)
			}
			require.Equal(t, wantGone, gotGone, name)
		}
	}
	all := func() ([]*hub.Event, error) {
		return e.ReadMatching(t.Context(), enginetest.Set(t, ">"), 0, n, hub.ReadLimit{Events: 512, Bytes: 1 << 20})
	}
	retried(t, all) // the log has at most 16 subjects
	_, err = h.PublishEach(t.Context(), one("more.1"), one("more.2"), one("more.3"), one("more.4"), one("more.5"))
	require.NoError(t, err)
	_, err = all()
	require.Error(t, err)
}
