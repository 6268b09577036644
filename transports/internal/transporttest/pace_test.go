package transporttest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestPace tests paths that use TLS, HTTP/2 or long-poll: the hub does not disconnect a slow client, but
// disconnects a client that stops reading.
func TestPace(t *testing.T) {
	t.Parallel()
	// Write timeouts of the hub. timeout applies to the client that must be disconnected. firstTimeout
	// applies to the slow client, which must stay connected. Each further try doubles it, up to
	// lastTimeout, because a busy machine may pause the client or the hub for too long.
	const timeout, firstTimeout, lastTimeout = 400 * time.Millisecond, 750 * time.Millisecond, 48 * time.Second
	portable := Path{"sse TLS portable", Config{TLS: true, Portable: true}, func(s *Server) Client {
		return &sseClient{carrier: s.http1("HTTP/1.1")}
	}}
	for _, r := range append(Paths(), portable) {
		if !r.Config.TLS && !r.Config.H2C && !r.IsLongPoll() {
			continue // package connection tests the other paths
		}
		t.Run("slow/"+r.Name, func(t *testing.T) {
			t.Parallel()
			cfg := r.Config
			cfg.WriteTimeout = firstTimeout
			err := slow(t, Start(t, cfg), r, cfg.WriteTimeout)
			for err != nil && cfg.WriteTimeout < lastTimeout {
				t.Log(err)
				cfg.WriteTimeout *= 2
				err = slow(t, Start(t, cfg), r, cfg.WriteTimeout)
			}
			require.NoError(t, err)
		})
		t.Run("stalled/"+r.Name, func(t *testing.T) {
			t.Parallel()
			cfg := r.Config
			cfg.WriteTimeout = timeout
			stalled(t, Start(t, cfg), r, timeout)
		})
	}
}

// pacedEvents is the number of events that TestPace publishes. Their total size exceeds that of the
// buffers between hub and client.
const pacedEvents = 60

// slow connects a client that reads less than one TLS record per write timeout, until 1.5 write timeouts
// have passed, and then reads at full speed. slow returns an error if the hub closes the connection.
func slow(t *testing.T, s *Server, r Path, timeout time.Duration) error {
	for i := range pacedEvents {
		s.Publish(t, JSON("a", bulk(i)))
	}
	until := time.Now().Add(3 * timeout / 2) // end of the slow reading
	ask := Query("last", "100", "max", "100")
	ask.Slow = true
	ask.BeforeRead = func() {
		if time.Now().Before(until) {
			time.Sleep(timeout / 8) // the delay simulates a slow reader
		}
	}
	c := r.New(s)
	t.Cleanup(c.Cut)
	if err := c.Connect(ask); err != nil {
		return err
	}
	for i := 0; i < pacedEvents; {
		item, err := c.Next()
		if err != nil {
			return fmt.Errorf("after %d events: %w", i, err)
		}
		if !hasOnlyPosition(item) {
			require.Equal(t, bulk(i), item.Data)
			i++
		}
	}
	if stalled := s.SSE.WriteStalled.Load() + s.WebSocket.WriteStalled.Load(); stalled > 0 {
		return fmt.Errorf("%d connections stalled", stalled)
	}
	return nil
}

// stalled connects a client that stops reading within the stream. stalled requires that the hub then
// closes the connection, but not before the write timeout has passed.
func stalled(t *testing.T, s *Server, r Path, timeout time.Duration) {
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
		begun := s.Poll.Opened.Load()
		asked.Go(func() { _, _ = c.Next() })
		require.Eventually(t, func() bool { return s.Poll.Opened.Load() > begun }, Patience, time.Millisecond)
	}
	require.Eventually(t, func() bool { return connections() == 0 }, Patience, time.Millisecond)
	took := time.Since(begin)
	hold.Unlock()
	asked.Wait()
	require.GreaterOrEqual(t, took, timeout*9/10)
}
