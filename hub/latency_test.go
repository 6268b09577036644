package hub

import (
	"context"
	"testing"
	"testing/synctest"
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

// slowSink is a Sink whose method Ready takes a fixed time.
type slowSink time.Duration

func (k slowSink) Ready(*Batch) { time.Sleep(time.Duration(k)) }

// TestLatencyOfSlowSubscriber checks the counted latency with two engines. The memory engine takes the times
// of events from this machine's clock. With a Log, they may be from another machine's clock.
func TestLatencyOfSlowSubscriber(t *testing.T) {
	for name, start := range map[string]func(t *testing.T) *Hub{
		"memory engine": func(t *testing.T) *Hub { return startHub(t, Config{}) },
		"log":           func(t *testing.T) *Hub { h, _ := startLog(t, 0, 100); return h },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := start(t)
				_, err := h.Subscribe(Request{Filters: setOf("a.>")}, slowSink(3*time.Second))
				require.NoError(t, err)
				for i := range 3 {
					_, err := h.Publish(context.Background(), &Event{Topic: "a.b"})
					require.NoError(t, err)
					time.Sleep(time.Minute)
					got := h.Stats().Latency
					require.EqualValues(t, i+1, got.Count)
					require.Equal(t, time.Duration(i+1)*3*time.Second, got.Sum)
				}
			})
		})
	}
}

// TestLatencyWhenClockIsSet checks that the latency of a batch is correct if the machine's clock was set before the
// publish.
func TestLatencyWhenClockIsSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory().(*memoryEngine)
		c := latencyClock{engine: m}
		for _, set := range []time.Duration{0, time.Hour, -2 * time.Hour, time.Millisecond} {
			m.clockOffset += int64(set) // as Publish finds the clocks
			c.update()
			published := c.read() + m.clockOffset
			time.Sleep(3 * time.Millisecond)
			require.Equal(t, 3*time.Millisecond, c.since(published, c.read()))
		}
	})
}
