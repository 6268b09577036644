package connection_test

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/auth"
	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/internal/connection"
	tt "github.com/trivium-hub/trivium/transports/internal/transporttest"
)

// holdingConn is a Conn that holds everything that TryWrite accepts, until Write sends it.
type holdingConn struct {
	connection.Conn
	entered chan struct{} // receives a value when Write is called; holds at most one value
	proceed chan struct{} // Write blocks until it is closed

	mu         sync.Mutex
	held, sent string
	ends       int
	closed     bool
}

func (c *holdingConn) TryWrite(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held != "" {
		return 0, nil
	}
	c.held = string(p)
	return len(p), nil
}

func (c *holdingConn) Buffered() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.held != ""
}

func (c *holdingConn) Write(p []byte, _ time.Duration) error {
	select {
	case c.entered <- struct{}{}:
	default:
	}
	<-c.proceed
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sent += c.held + string(p)
	c.held = ""
	return nil
}

func (c *holdingConn) PeerClosed() bool { return false }

// End leaves the connection open, as WebSocket does.
func (c *holdingConn) End() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ends++
	return false
}

func (c *holdingConn) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
}

// state returns the bytes that were sent, and the number of calls of End.
func (c *holdingConn) state() (sent string, ends int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sent, c.ends
}

// startHolding starts a writer on a holdingConn, which then holds the opening bytes.
func startHolding(t *testing.T) (*bench, *connection.Writer, *holdingConn) {
	b, c, w := newBench(t, 0, longTimeout), &holdingConn{entered: make(chan struct{}, 1), proceed: make(chan struct{})}, connection.New()
	filters := hub.NewFilterSet(hub.Everything)
	s, err := b.hub.Subscribe(hub.Request{Filters: filters}, w)
	require.NoError(t, err)
	require.True(t, w.Start(&b.cfg, tt.NewToken(&auth.Grant{Subscribe: filters}), s, c, []byte("open\n")))
	return b, w, c
}

// requireSent blocks until the bytes that the connection has sent equal want.
func (c *holdingConn) requireSent(t *testing.T, want string) {
	t.Helper()
	require.Eventually(t, func() bool {
		sent, _ := c.state()
		return sent == want
	}, longTimeout, time.Millisecond)
}

// Bytes that a connection holds are sent before later events and messages, even if no event is published.
func TestHeldBytesAreSentFirst(t *testing.T) {
	b, w, c := startHolding(t)
	require.True(t, c.Buffered())
	close(c.proceed)
	c.requireSent(t, "open\n")
	b.publish(0, 1, 10)
	c.requireSent(t, "open\nevent \"0\"\n")
	w.WriteControl([]byte("message\n"))
	c.requireSent(t, "open\nevent \"0\"\nmessage\n")
	require.EqualValues(t, 1, b.counters.Delivered.Load())
}

// While the write of held bytes is blocked, events and messages are queued behind them.
func TestEverythingWaitsForHeldBytes(t *testing.T) {
	b, w, c := startHolding(t)
	<-c.entered
	b.publish(0, 3, 10)
	w.WriteControl([]byte("message\n"))
	w.Goaway(time.Second)
	sent, _ := c.state()
	require.Empty(t, sent)
	close(c.proceed)
	c.requireSent(t, "open\nmessage\nevent \"0\"\nevent \"1\"\nevent \"2\"\ngoaway "+b.hub.Position().String()+"\n")
}

// The end of the stream is written after the held bytes. If the connection holds bytes again later, for
// example because TLS answers a change of keys, the end is not written a second time.
func TestEndAfterHeldBytes(t *testing.T) {
	_, w, c := startHolding(t)
	w.EndWith([]byte("bye\n"), connection.ClosedRefused)
	close(c.proceed)
	c.requireSent(t, "open\nbye\n")
	require.Eventually(t, func() bool {
		_, ends := c.state()
		return ends == 1
	}, longTimeout, time.Millisecond)
	_, err := c.TryWrite([]byte("keys\n"))
	require.NoError(t, err)
	w.RearmReadable()
	w.CloseAfterEnd()
	w.Wait()
	sent, ends := c.state()
	require.Equal(t, "open\nbye\n", sent)
	require.Equal(t, 1, ends)
	require.True(t, c.closed)
}

// A read may make the connection hold bytes, for example if TLS answers a change of keys. RearmReadable
// sends them.
func TestRearmReadableSendsHeldBytes(t *testing.T) {
	_, w, c := startHolding(t)
	close(c.proceed)
	c.requireSent(t, "open\n")
	accepted, err := c.TryWrite([]byte("keys\n"))
	require.NoError(t, err)
	require.Equal(t, len("keys\n"), accepted)
	w.RearmReadable()
	c.requireSent(t, "open\nkeys\n")
}

// Close does not wait for bytes that are held.
func TestCloseDropsHeldBytes(t *testing.T) {
	_, w, c := startHolding(t)
	w.Close()
	require.True(t, c.closed)
	close(c.proceed)
	w.Wait()
	_, ends := c.state()
	require.Zero(t, ends)
}
