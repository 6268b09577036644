package transports_test

import (
	"bytes"
	"fmt"
	"net"
	"net/http/httptest"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/auth"
	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports"
	"github.com/trivium-hub/trivium/transports/internal/wire"
)

// BenchmarkParkedPolls publishes events to waiting polls on parked connections, and sends the next
// polls on the same connections. It reports the memory that the hub and its middleware allocate per
// poll; the client in the benchmark allocates nothing.
func BenchmarkParkedPolls(b *testing.B) {
	const conns = 100
	h, err := hub.New(hub.Config{})
	require.NoError(b, err)
	token := auth.NewToken()
	api, err := transports.New(transports.Config{Hub: h, Auth: auth.New(auth.Config{Verifier: auth.NewStaticToken(token, auth.Limits{})})})
	require.NoError(b, err)
	server := httptest.NewUnstartedServer(api)
	server.Listener = api.Listener(server.Listener)
	server.Start()
	defer func() {
		api.Close()
		server.Close()
		require.NoError(b, h.Close())
	}()
	clients := make([]net.Conn, conns)
	for i := range clients {
		clients[i], err = net.Dial("tcp", server.Listener.Addr().String())
		require.NoError(b, err)
		defer clients[i].Close()
		require.NoError(b, clients[i].SetDeadline(time.Now().Add(patience)))
	}
	request, answer := make([]byte, 0, 1<<10), make([]byte, 4<<10)
	poll := func() {
		request = fmt.Appendf(request[:0], "GET /poll?topic=a&wait=50&cursor=%s HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %s\r\n\r\n", h.Position(), token)
		for _, c := range clients {
			_, err := c.Write(request)
			require.NoError(b, err)
		}
		for h.Stats().Subscriptions < conns {
			time.Sleep(time.Millisecond) // Stats allocates memory
		}
	}
	data := fmt.Appendf(nil, "%q", bytes.Repeat([]byte("x"), 128))
	receive := func() {
		_, err := h.Publish(b.Context(), &hub.Event{Topic: "a", Data: data})
		require.NoError(b, err)
		for _, c := range clients {
			for n := 0; !bytes.HasSuffix(answer[:n], []byte(wire.PollEnd)); {
				k, err := c.Read(answer[n:])
				require.NoError(b, err)
				n += k
			}
		}
	}
	poll()
	receive()
	poll() // from now on, the connections are parked
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	n := 0
	for b.Loop() {
		receive()
		poll()
		n += conns
	}
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/float64(n), "B/poll")
	b.ReportMetric(float64(after.Mallocs-before.Mallocs)/float64(n), "allocs/poll")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/poll")
}
