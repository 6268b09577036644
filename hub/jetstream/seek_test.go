package jetstream

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/hub/enginetest"
)

// Newest returns the same events as a scan of the log, for frequent and rare topics, also if events
// were deleted.
func TestNewestEqualsScan(t *testing.T) {
	h, e := startHub(t, Config{Store: t.TempDir(), Retention: hub.Retention{Events: 1 << 20}}, hub.Retention{Events: 50})
	const n = 20_000
	topics := make([]string, 0, n)
	for len(topics) < n {
		var batch []*hub.Event
		for range 1000 {
			topic := fmt.Sprint("often.", rand.N(10))
			switch i := len(topics); {
			case i%97 == 0:
				topic = "sometimes"
			case i%3001 == 0:
				topic = "rare.a"
			case i == 7:
				topic = "once"
			case i < 3000 && i%2 == 0:
				topic = "early"
			}
			topics = append(topics, topic)
			batch = append(batch, one(topic))
		}
		_, err := h.PublishEach(t.Context(), batch...)
		require.NoError(t, err)
	}
	stream, err := e.js.Stream(t.Context(), e.cfg.Stream)
	require.NoError(t, err)
	for range 50 {
		seq := rand.N(uint64(n)) + 1
		if topics[seq-1] != "" {
			require.NoError(t, stream.DeleteMsg(t.Context(), seq))
			topics[seq-1] = ""
		}
	}
	for _, filters := range [][]string{
		{"sometimes"}, {"rare.a"}, {"once"}, {"early"}, {"none"}, {"often.3"}, {"rare.*"}, {">"},
		{"early", "once"}, {"sometimes", "rare.a", "rare.*", "often.1"},
	} {
		set := enginetest.Set(t, filters...)
		for _, wanted := range []int{1, 10, 300} {
			for _, upTo := range []uint64{1, n / 2, n - 50, n} {
				var want []uint64
				for i, topic := range topics[:upTo] {
					if topic != "" && set.Match(topic) {
						want = append(want, uint64(i+1))
					}
				}
				want = want[len(want)-min(len(want), wanted):]
				var before uint64
				var begin time.Time
				got := retried(t, func() ([]uint64, error) {
					before, begin = e.conn.Stats().OutMsgs, time.Now()
					return e.Newest(t.Context(), set, upTo, wanted)
				})
				require.True(t, slices.Equal(want, got), "%v %d up to %d: want %v, got %v", filters, wanted, upTo, want, got)
				sent := e.conn.Stats().OutMsgs - before
				others := 5 * (1 + uint64(time.Since(begin)/watchInterval)) // number of requests of the engine's own goroutines
				require.LessOrEqual(t, sent, 20*uint64(len(filters))+others, "the number of requests for %v %d up to %d is limited", filters, wanted, upTo)
			}
		}
	}
	elements := retried(t, func() ([]*hub.Event, error) {
		return e.ReadEach(t.Context(), []uint64{1, 98, 500, n}, hub.ReadLimit{Events: 3, Bytes: 1 << 20})
	})
	require.GreaterOrEqual(t, len(elements), 3)
	for i, seq := range []uint64{1, 98, 500} {
		require.Equal(t, seq, elements[i].ID.Seq)
		require.Equal(t, topics[seq-1], elements[i].Topic)
	}
}
