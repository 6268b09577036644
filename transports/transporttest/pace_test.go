package transporttest

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestPace holds the roads whose bytes are not the outlet's to write, but those of TLS and HTTP,
// to the same end: who moves is not cut, however slowly, and who does not is in time.
func TestPace(t *testing.T) {
	t.Parallel()
	// One who is to be cut may be cut soon. One who is not has to get to the processor in time, too.
	const timeout, ample = 400 * time.Millisecond, 6 * time.Second
	portable := Road{"sse TLS portable", Config{TLS: true, Portable: true}, func(s *Server) Client {
		return &sseClient{carrier: s.raw("HTTP/1.1")}
	}}
	for _, r := range append(Roads(), portable) {
		if !r.Config.TLS && !r.Config.H2C && !r.Polls() {
			continue // outlet's own tests have them
		}
		t.Run("slow/"+r.Name, func(t *testing.T) {
			t.Parallel()
			cfg := r.Config
			cfg.WriteTimeout = ample
			slow(t, Start(t, cfg), r, ample)
		})
		t.Run("stuck/"+r.Name, func(t *testing.T) {
			t.Parallel()
			cfg := r.Config
			cfg.WriteTimeout = timeout
			stuck(t, Start(t, cfg), r, timeout)
		})
	}
}

// pacedEvents are more than the buffers between hub and client hold.
const pacedEvents = 60

// slow reads less than a record of TLS in a write timeout for some of them.
func slow(t *testing.T, s *Server, r Road, timeout time.Duration) {
	var until time.Time // of the reader
	ask := Query("last", "100", "max", "100")
	ask.Slow = true
	ask.Hold = func() {
		if time.Now().Before(until) {
			time.Sleep(timeout / 8) // it is slow, not waiting for something
		}
	}
	for i := range pacedEvents {
		s.Publish(t, JSON("a", bulk(i)))
	}
	until = time.Now().Add(3 * timeout / 2)
	c := connect(t, s, r, ask)
	for i := range pacedEvents {
		require.Equal(t, bulk(i), read(t, c, 1)[0].Data)
	}
	require.Zero(t, s.SSE.WriteStalled.Load()+s.WebSocket.WriteStalled.Load())
}

// stuck reads nothing from some moment on.
func stuck(t *testing.T, s *Server, r Road, timeout time.Duration) {
	connections := func() int64 {
		return s.SSE.Connections.Load() + s.WebSocket.Connections.Load() + s.Poll.Connections.Load()
	}
	var hold sync.Mutex
	c, _ := opened(t, s, r, Ask{Slow: true, Hold: func() {
		hold.Lock()
		defer hold.Unlock()
	}})
	hold.Lock()
	begin := time.Now()
	for i := range pacedEvents {
		s.Publish(t, JSON("a", bulk(i)))
	}
	var asked sync.WaitGroup
	if r.Polls() {
		// The handler of its opening may not have returned yet.
		require.Eventually(t, func() bool { return connections() == 0 }, Patience, time.Millisecond)
		asked.Go(func() { _, _ = c.Next() })
		require.Eventually(t, func() bool { return connections() == 1 }, Patience, time.Millisecond)
	}
	require.Eventually(t, func() bool { return connections() == 0 }, Patience, time.Millisecond)
	took := time.Since(begin)
	hold.Unlock()
	asked.Wait()
	require.GreaterOrEqual(t, took, timeout*9/10)
}
