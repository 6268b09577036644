//go:build unix

package jetstream

import (
	"flag"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub"
)

var replayEvents = flag.Int("replay.events", 100_000, "events of the stream of BenchmarkReplay")

// BenchmarkReplay reads a whole stream from its first event, with different network delays between
// the hub and the NATS server. The delay applies to each direction.
func BenchmarkReplay(b *testing.B) {
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, StoreDir: b.TempDir(), JetStream: true, MaxPayload: 8 << 20, NoSigs: true, NoLog: true})
	require.NoError(b, err)
	s.Start()
	defer s.WaitForShutdown()
	defer s.Shutdown()
	require.True(b, s.ReadyForConnections(time.Minute))
	keep := hub.Retention{Events: 1 << 30, Bytes: 1 << 30, Age: 1000 * time.Hour}
	start := func(address string) (*hub.Hub, *Engine) {
		e, err := New(Config{URL: "nats://" + address, Retention: keep})
		require.NoError(b, err)
		h, err := hub.New(hub.Config{Engine: e, Retention: hub.Retention{Events: 1000}})
		require.NoError(b, err)
		return h, e
	}
	h, _ := start(s.Addr().String())
	for n := 0; n < *replayEvents; n += 1000 {
		events := make([]*hub.Event, 1000)
		for i := range events {
			events[i] = one(fmt.Sprint("t.", i%100))
		}
		_, err := h.PublishEach(b.Context(), events...)
		require.NoError(b, err)
	}
	require.NoError(b, h.Close())
	for _, delay := range []time.Duration{0, time.Millisecond, 100 * time.Millisecond} {
		b.Run(fmt.Sprint("delay ", delay), func(b *testing.B) {
			h, e := start(startDelayingProxy(b, s.Addr().String(), delay))
			defer func() { require.NoError(b, h.Close()) }()
			n := 0
			for b.Loop() {
				n += read(b, h, ">", hub.Start{Cursor: &hub.Cursor{Epoch: e.epoch}}, *replayEvents)
				require.Equal(b, 0, n%*replayEvents)
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// startDelayingProxy starts a proxy that delays all bytes in each direction, and returns its
// address. The proxy stops with the benchmark.
func startDelayingProxy(b *testing.B, to string, delay time.Duration) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	var running sync.WaitGroup
	b.Cleanup(func() { _ = listener.Close(); running.Wait() })
	running.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", to)
			if err != nil {
				_ = client.Close()
				continue
			}
			running.Go(func() { relay(server, client, delay) })
			running.Go(func() { relay(client, server, delay) })
		}
	})
	return listener.Addr().String()
}

// relay copies until either side closes, and closes both.
func relay(to, from net.Conn, delay time.Duration) {
	type piece struct {
		data []byte
		due  time.Time
	}
	pieces := make(chan piece, 1<<16)
	go func() {
		defer close(pieces)
		for {
			data := make([]byte, 32<<10)
			n, err := from.Read(data)
			if err != nil {
				return
			}
			pieces <- piece{data[:n], time.Now().Add(delay)}
		}
	}()
	defer func() { _, _ = to.Close(), from.Close() }()
	for p := range pieces {
		time.Sleep(time.Until(p.due))
		if _, err := to.Write(p.data); err != nil {
			break
		}
	}
	_ = from.Close()
	_, _ = io.Copy(io.Discard, from)
	for range pieces {
	}
}
