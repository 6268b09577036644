//go:build unix

package jetstream

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub"
)

// cpuOf measures the processor time of this process, including the NATS server and the hub, until
// stop is called. Wall-clock time would depend on other processes.
func cpuOf(b *testing.B) (stop func()) {
	spent := func() int64 {
		var u syscall.Rusage
		require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
		return u.Utime.Nano() + u.Stime.Nano()
	}
	before := spent()
	return func() { b.ReportMetric(float64(spent()-before)/float64(b.N), "cpu-ns/op") }
}

// BenchmarkPublish compares JetStream's own asynchronous publish with three publishing methods of the
// engine: groups of single events, events with IDs, and atomic arrays.
func BenchmarkPublish(b *testing.B) {
	data := []byte(`{"order":"4711","state":"paid","amount":42.50,"text":"` + strings.Repeat("x", 145) + `"}`)
	start := func(b *testing.B) (*Engine, *hub.Hub) {
		e, err := New(Config{Store: b.TempDir()})
		require.NoError(b, err)
		h, err := hub.New(hub.Config{Engine: e})
		require.NoError(b, err)
		b.Cleanup(func() { require.NoError(b, h.Close()) })
		return e, h
	}
	events := func(n int) []*hub.Event {
		events := make([]*hub.Event, n)
		for i := range events {
			events[i] = &hub.Event{Topic: "orders.1.paid", Data: data}
		}
		return events
	}
	b.Run("JetStream", func(b *testing.B) {
		e, _ := start(b)
		same := e.streamConfig()
		same.Name, same.Subjects = "other", []string{"other.>"}
		_, err := e.js.CreateStream(b.Context(), same)
		require.NoError(b, err)
		defer cpuOf(b)()
		for b.Loop() {
			_, err := e.js.PublishAsync("other.orders.1.paid", data)
			require.NoError(b, err)
		}
		<-e.js.PublishAsyncComplete()
	})
	for _, n := range []int{512, 2048} {
		b.Run(fmt.Sprint("each of ", n), func(b *testing.B) {
			_, h := start(b)
			defer cpuOf(b)()
			for i := 0; b.Loop(); i++ {
				if i%n == 0 {
					_, err := h.PublishEach(b.Context(), events(n)...)
					require.NoError(b, err)
				}
			}
		})
	}
	b.Run("unique of 512", func(b *testing.B) {
		e, _ := start(b)
		const n = 512
		ids := make([]string, n)
		defer cpuOf(b)()
		for i := 0; b.Loop(); i++ {
			if ids[i%n] = fmt.Sprintf("%022d", i); i%n == n-1 {
				_, _, err := e.publishEach(b.Context(), ids, events(n))
				require.NoError(b, err)
			}
		}
	})
	for _, n := range []int{1, 10, 1000} {
		b.Run(fmt.Sprint("all of ", n), func(b *testing.B) {
			_, h := start(b)
			defer cpuOf(b)()
			for i := 0; b.Loop(); i++ {
				if i%n == 0 {
					_, err := h.Publish(b.Context(), events(n)...)
					require.NoError(b, err)
				}
			}
		})
	}
}
