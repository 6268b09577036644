package connection_test

import (
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/internal/connection"
)

const benchSize = 200 // approximate size of an event's data, in bytes

// lineSize returns the size of the line for an event that bench.publish has published with the given
// size. The number of the event must have three digits.
func lineSize(size int) int64 { return int64(len(`event "100"`) + size - 10 + len("\n")) }

// timedSink is a sink that stands in for several writers: it passes each batch to all of them, and
// measures the time that they take.
type timedSink struct {
	writers []*connection.Writer
	took    atomic.Int64 // ns
}

func (s *timedSink) Ready(batch *hub.Batch) {
	start := time.Now()
	for _, w := range s.writers {
		w.Ready(batch)
	}
	s.took.Add(int64(time.Since(start)))
}

// BenchmarkDelivery delivers one event to 100 sockets whose peers read without delay. In "direct",
// the fan-out worker writes to all sockets; in "portable", each socket has a goroutine that writes.
// ns/ready is the worker's time per delivery. ns/op includes the readers, which run in this process.
func BenchmarkDelivery(b *testing.B) {
	for name, portable := range map[string]bool{"direct": false, "portable": true} {
		b.Run(name, func(b *testing.B) {
			const writers = 100
			bench, sink := newBench(b, 0, longTimeout), new(timedSink)
			bench.fast, bench.portable = true, portable
			var got, readers sync.WaitGroup
			var clients []net.Conn
			for i := range writers {
				bench.sink = func(w *connection.Writer) hub.Sink {
					sink.writers = append(sink.writers, w)
					if i > 0 {
						return ignoringSink{}
					}
					return sink
				}
				_, client := bench.connect()
				_, err := io.CopyN(io.Discard, client, int64(len("open\n")))
				require.NoError(b, err)
				require.NoError(b, client.SetDeadline(time.Time{}))
				clients = append(clients, client)
				readers.Go(func() {
					line := make([]byte, lineSize(benchSize))
					for {
						if _, err := io.ReadFull(client, line); err != nil {
							return // the benchmark has ended
						}
						got.Done()
					}
				})
			}
			b.ReportAllocs()
			for b.Loop() {
				got.Add(writers)
				bench.publish(100, 1, benchSize)
				got.Wait()
			}
			b.ReportMetric(float64(sink.took.Load())/float64(b.N)/writers, "ns/ready")
			for _, c := range clients {
				c.Close()
			}
			readers.Wait()
		})
	}
}

// BenchmarkDrain delivers a megabyte of events to a peer that starts to read late. The kernel's
// buffers hold only a small part of the megabyte.
func BenchmarkDrain(b *testing.B) {
	for _, size := range []int{8 << 10, 64 << 10} {
		b.Run(fmt.Sprint(size>>10, " KiB"), func(b *testing.B) {
			n := (1 << 20) / size
			bench := newBench(b, 0, longTimeout)
			_, client := bench.connect()
			_, err := io.CopyN(io.Discard, client, int64(len("open\n")))
			require.NoError(b, err)
			require.NoError(b, client.SetDeadline(time.Time{}))
			b.SetBytes(1 << 20)
			b.ReportAllocs()
			for b.Loop() {
				bench.publish(100, n, size)
				_, err := io.CopyN(io.Discard, client, int64(n)*lineSize(size))
				require.NoError(b, err)
			}
		})
	}
}
