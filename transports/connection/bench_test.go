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
	"github.com/trivium-hub/trivium/transports/connection"
)

const benchSize = 200 // bytes of an event's data

// lineOf is how many bytes go out for an event whose number has three digits.
func lineOf(size int) int64 { return int64(len(`event "100"`) + size - 10 + len("\n")) }

// timed is the sink of one of several outlets. It offers the round to all of them, and takes the time.
type timed struct {
	outlets []*connection.Writer
	took    atomic.Int64 // ns
}

func (s *timed) Ready(r *hub.Round) {
	begin := time.Now()
	for _, o := range s.outlets {
		o.Ready(r)
	}
	s.took.Add(int64(time.Since(begin)))
}

// BenchmarkDelivery is one event to 100 sockets whose peers take it at once: written directly by the
// worker, or by a goroutine each. ns/ready is a worker's part of a delivery, ns/op all there is to an
// event, its readers in this process too.
func BenchmarkDelivery(b *testing.B) {
	for name, portable := range map[string]bool{"direct": false, "portable": true} {
		b.Run(name, func(b *testing.B) {
			const outlets = 100
			bench, sink := newBench(b, 0, patience), new(timed)
			bench.fast, bench.portable = true, portable
			var got, readers sync.WaitGroup
			var clients []net.Conn
			for i := range outlets {
				bench.sink = func(o *connection.Writer) hub.Sink {
					sink.outlets = append(sink.outlets, o)
					if i > 0 {
						return deaf{}
					}
					return sink
				}
				_, client := bench.connect()
				_, err := io.CopyN(io.Discard, client, int64(len("open\n")))
				require.NoError(b, err)
				require.NoError(b, client.SetDeadline(time.Time{}))
				clients = append(clients, client)
				readers.Go(func() {
					line := make([]byte, lineOf(benchSize))
					for {
						if _, err := io.ReadFull(client, line); err != nil {
							return // the benchmark is over
						}
						got.Done()
					}
				})
			}
			b.ReportAllocs()
			for b.Loop() {
				got.Add(outlets)
				bench.publish(100, 1, benchSize)
				got.Wait()
			}
			b.ReportMetric(float64(sink.took.Load())/float64(b.N)/outlets, "ns/ready")
			for _, c := range clients {
				c.Close()
			}
			readers.Wait()
		})
	}
}

// BenchmarkDrain is one that was not reading and now takes what waits for it: a megabyte in events, of
// which the kernel had room for little.
func BenchmarkDrain(b *testing.B) {
	for _, size := range []int{8 << 10, 64 << 10} {
		b.Run(fmt.Sprint(size>>10, " KiB"), func(b *testing.B) {
			n := (1 << 20) / size
			bench := newBench(b, 0, patience)
			_, client := bench.connect()
			_, err := io.CopyN(io.Discard, client, int64(len("open\n")))
			require.NoError(b, err)
			require.NoError(b, client.SetDeadline(time.Time{}))
			b.SetBytes(1 << 20)
			b.ReportAllocs()
			for b.Loop() {
				bench.publish(100, n, size)
				_, err := io.CopyN(io.Discard, client, int64(n)*lineOf(size))
				require.NoError(b, err)
			}
		})
	}
}
