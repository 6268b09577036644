package hub

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestLatencyBuckets checks that a latency equal to a bucket's bound is counted in that bucket, that
// latencies above all bounds are counted, and that a negative latency counts as zero.
func TestLatencyBuckets(t *testing.T) {
	var l latencies
	for _, bound := range latencyBounds {
		l.observe(bound)
	}
	l.observe(time.Millisecond + 1)
	l.observe(time.Hour)
	l.observe(-time.Hour)
	s := l.snapshot()
	sum := time.Hour + time.Millisecond + 1
	for _, bound := range latencyBounds {
		want := uint64(1)
		if bound == latencyBounds[0] || bound == 2500*time.Microsecond {
			want = 2
		}
		require.Equal(t, want, s.Buckets[bound], bound)
		sum += bound
	}
	require.Equal(t, uint64(len(latencyBounds)+3), s.Count)
	require.Equal(t, sum, s.Sum)
}

// TestLatencyCountsEachBatchOnce checks that a batch is observed once, regardless of the number of
// its subscribers, and that events without subscribers are not observed.
func TestLatencyCountsEachBatchOnce(t *testing.T) {
	h := startHub(t, Config{Workers: 1})
	for range 3 {
		_, err := h.Subscribe(Request{Filters: setOf("a.>")}, NewWakeup())
		require.NoError(t, err)
	}
	for _, topic := range []string{"a.b", "b", "a.c"} {
		before := h.Stats().Latency.Count
		_, err := h.Publish(t.Context(), &Event{Topic: topic})
		require.NoError(t, err)
		if topic != "b" {
			require.Eventually(t, func() bool { return h.Stats().Latency.Count == before+1 }, time.Minute, time.Millisecond)
		}
	}
	require.EqualValues(t, 2, h.Stats().Latency.Count)
}
