package transporttest

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestPace checks paths on which TLS or HTTP/2 writes the bytes: a slow reader is not disconnected,
// and a stalled one is.
func TestPace(t *testing.T) {
	t.Parallel()
	// These are write timeouts. timeout is short, for the reader that must be disconnected.
	// longTimeout is long, so that the slow reader is not disconnected on a busy machine.
	const timeout, longTimeout = 400 * time.Millisecond, 6 * time.Second
	portable := Path{"sse TLS portable", Config{TLS: true, Portable: true}, func(s *Server) Client {
		return &sseClient{carrier: s.http1("HTTP/1.1")}
	}}
	for _, r := range append(Paths(), portable) {
		if !r.Config.TLS && !r.Config.H2C && !r.IsLongPoll() {
			continue // other paths are tested in package connection
		}
		t.Run("slow/"+r.Name, func(t *testing.T) {
			if testing.Short() {
				t.Skip("it reads slowly for nine seconds, as a test of package connection does for five")
			}
			t.Parallel()
			cfg := r.Config
			cfg.WriteTimeout = longTimeout
			for !slow(t, Start(t, cfg), r, longTimeout) {
				t.Log("the machine paused the reader for too long")
			}
		})
		t.Run("stuck/"+r.Name, func(t *testing.T) {
			t.Parallel()
			cfg := r.Config
			cfg.WriteTimeout = timeout
			stuck(t, Start(t, cfg), r, timeout)
		})
	}
}

// pacedEvents is the number of events, which is more than the buffers between hub and client can
// hold.
const pacedEvents = 60

// slow reads less than one TLS record per write timeout, for several write timeouts. It returns
// false if the machine paused the reader for so long that the hub may have closed the connection.
func slow(t *testing.T, s *Server, r Path, timeout time.Duration) bool {
	var until time.Time // end of the slow reading
	var mu sync.Mutex   // guards last and longest, because the client may read in its own goroutine
	var last time.Time  // time of the last read
	var longest time.Duration
	ask := Query("last", "100", "max", "100")
	ask.Slow = true
	ask.BeforeRead = func() {
		if time.Now().Before(until) {
			time.Sleep(timeout / 8) // the delay simulates a slow reader; it waits for nothing
		}
		mu.Lock()
		defer mu.Unlock()
		longest, last = max(longest, time.Since(last)), time.Now()
	}
	for i := range pacedEvents {
		s.Publish(t, JSON("a", bulk(i)))
	}
	last = time.Now()
	until = last.Add(3 * timeout / 2)
	c := connect(t, s, r, ask)
	for i := 0; i < pacedEvents; {
		item, err := c.Next()
		mu.Lock()
		paused := longest > timeout/2
		mu.Unlock()
		if err != nil && paused {
			return false
		}
		require.NoError(t, err, "after %d events", i)
		if !quiet(item) {
			require.Equal(t, bulk(i), item.Data)
			i++
		}
	}
	require.Zero(t, s.SSE.WriteStalled.Load()+s.WebSocket.WriteStalled.Load())
	return true
}

// stuck stops reading within the stream.
func stuck(t *testing.T, s *Server, r Path, timeout time.Duration) {
	connections := func() int64 {
		return s.SSE.Connections.Load() + s.WebSocket.Connections.Load() + s.Poll.Connections.Load()
	}
	var hold sync.Mutex
	c, _ := opened(t, s, r, Request{Slow: true, BeforeRead: func() {
		hold.Lock()
		defer hold.Unlock()
	}})
	hold.Lock()
	begin := time.Now()
	for i := range pacedEvents {
		s.Publish(t, JSON("a", bulk(i)))
	}
	var asked sync.WaitGroup
	if r.IsLongPoll() {
		// The handler may not have returned yet, so the count is checked repeatedly.
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
