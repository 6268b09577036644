package jetstream

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/hub/enginetest"
	"github.com/trivium-hub/trivium/hub/testkit"
)

// testDisconnectedHub checks a hub that is disconnected while retention removes events that it has
// not read. All its subscribers get a gap, because the topics of the lost events are unknown, and
// the hub continues with the retained events.
func testDisconnectedHub(t *testing.T, c *cluster) {
	proxy := toxiproxy.NewProxy(toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop()),
		"cut", fmt.Sprintf("127.0.0.1:%d", testkit.FreePorts(t, 1)[0]), fmt.Sprintf("127.0.0.1:%d", c.options[0].Port))
	require.NoError(t, proxy.Start())
	defer proxy.Stop()
	keep := hub.Retention{Events: 10}
	cfg := c.config(keep)
	other, _ := startHub(t, cfg, keep)
	cfg.URL = "nats://" + proxy.Listen
	h, e := startHub(t, cfg, keep)
	busy := enginetest.Subscribe(t, h, hub.Request{Filters: enginetest.Set(t, "a")})
	idle := enginetest.Subscribe(t, h, hub.Request{Filters: enginetest.Set(t, "idle")})
	first, err := h.Publish(t.Context(), one("a"))
	require.NoError(t, err)
	busy.Until(first.Seq)
	idle.Until(first.Seq)
	proxy.Stop()
	require.Eventually(t, func() bool { return e.Ready() != nil }, enginetest.Patience, 10*time.Millisecond)
	last := first
	for range 30 {
		last, err = other.Publish(context.Background(), one("a"))
		require.NoError(t, err)
	}
	require.NoError(t, proxy.Start())
	require.Eventually(t, func() bool { return e.Ready() == nil }, enginetest.Patience, 10*time.Millisecond)
	for _, r := range []*enginetest.Reader{busy, idle} {
		r.Until(last.Seq)
		require.Equal(t, []hub.Gap{{
			Reason: hub.GapExpired, After: first.String(), ResumedAt: hub.Cursor{Epoch: first.Epoch, Seq: last.Seq - 10},
		}}, r.Gaps)
	}
	require.Len(t, busy.Events, 11)
	require.Empty(t, idle.Events)
}

// startStallingProxy starts a proxy to the address. After stall is called, the proxy reads nothing
// more from its clients.
func startStallingProxy(t *testing.T, address string) (url string, stall func()) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var running sync.WaitGroup
	stalled, stall := context.WithCancel(t.Context())
	ended, end := context.WithCancel(t.Context())
	pass := func(client net.Conn) {
		server, err := net.Dial("tcp", address)
		if err != nil {
			client.Close()
			return
		}
		running.Go(func() { _, _ = io.Copy(client, server) })
		running.Go(func() {
			for buffer := make([]byte, 4096); stalled.Err() == nil; {
				n, err := client.Read(buffer)
				if _, err2 := server.Write(buffer[:n]); err != nil || err2 != nil {
					break
				}
			}
			<-ended.Done()
			client.Close()
			server.Close()
		})
	}
	running.Go(func() {
		for client, err := listener.Accept(); err == nil; client, err = listener.Accept() {
			pass(client)
		}
	})
	t.Cleanup(func() {
		listener.Close()
		stall()
		end()
		running.Wait()
	})
	return "nats://" + listener.Addr().String(), stall
}

// testStalledServer checks a server that does not read from its socket, as if it were paused. Each call
// must return before the default write timeout of the NATS client is over.
func testStalledServer(t *testing.T, c *cluster) {
	cfg := c.config(hub.Retention{})
	var stall func()
	cfg.URL, stall = startStallingProxy(t, fmt.Sprintf("127.0.0.1:%d", c.options[0].Port))
	h, e := startHubWith(t, hub.Retention{}, func() *Engine {
		e := newEngine(t, cfg)
		e.timeouts = defaultTimeouts
		return e
	})
	stall()
	many := make([]*hub.Event, 32) // more bytes than the socket buffers hold
	for i := range many {
		many[i] = &hub.Event{Topic: "a", Encoding: hub.Binary, Data: make([]byte, hub.DefaultMaxEventSize)}
	}
	begin := time.Now()
	_, err := h.Publish(t.Context(), many...)
	require.ErrorIs(t, err, hub.ErrUnavailable)
	_ = e.Ready() // the result does not matter, but Ready must return
	require.Less(t, time.Since(begin), nats.DefaultFlusherTimeout)
}
