package client

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// conn is an attempt to connect and, if it succeeds, the connection. Its goroutine, the pump, opens the
// stream and forwards one message at a time. The pump does not read ahead, so that backpressure reaches
// the hub if the program stops reading events.
type conn struct {
	// The following fields do not change.

	client    *Client
	transport Transport
	messages  chan message // closed when the connection has ended
	cancel    context.CancelFunc
	startedAt time.Time

	err error // the reason why the connection ended; valid after messages is closed

	lastRead  atomic.Int64           // time of the last received bytes, in ns since startedAt; monotonic
	sentToken atomic.Pointer[string] // the token that was sent last

	mu      sync.Mutex
	stream  stream // nil until open
	stopped bool
}

// connect starts a connection. The caller must stop it.
func (c *Client) connect(ctx context.Context, t Transport, a subscribeParams) *conn {
	ctx, cancel := context.WithCancel(ctx)
	n := &conn{client: c, transport: t, messages: make(chan message), cancel: cancel, startedAt: time.Now()}
	none := ""
	n.sentToken.Store(&none)
	c.workers.Go(func() {
		defer close(n.messages)
		n.err = withoutToken(n.pump(ctx, a), *n.sentToken.Load())
	})
	return n
}

func (n *conn) pump(ctx context.Context, a subscribeParams) error {
	s, err := n.open(ctx, a)
	if err != nil {
		return err
	}
	defer s.close()
	if !n.setStream(s) {
		return context.Canceled
	}
	for {
		m, err := s.next()
		if err != nil {
			return err
		}
		select {
		case n.messages <- m:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// setStream makes the stream available to stop and send. It returns false if the connection was
// already stopped.
func (n *conn) setStream(s stream) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.stream = s
	return !n.stopped
}

// stop closes the connection and waits for the pump. It drops messages that were not forwarded; the
// next connection receives them again, because it starts at the cursor.
func (n *conn) stop() {
	n.mu.Lock()
	s := n.stream
	n.stopped = true
	n.mu.Unlock()
	if s != nil {
		s.close() // before the context is canceled, so that a close frame can be sent
	}
	n.cancel()
	for range n.messages {
	}
}

// errNoCommands is returned by send unless the stream is a WebSocket.
var errNoCommands = errors.New("this connection does not accept commands")

// send sends a WebSocket command.
func (n *conn) send(command []byte) error {
	n.mu.Lock()
	s, ok := n.stream.(*streamSocket)
	n.mu.Unlock()
	if !ok {
		return errNoCommands
	}
	return s.send(command)
}

// tokenToSend returns the current token and records it as sent.
func (n *conn) tokenToSend() string {
	token := n.client.tokens.value()
	n.sentToken.Store(&token)
	return token
}

// tokenOutdated reports whether the current token differs from the token that the connection has sent.
func (n *conn) tokenOutdated() bool { return *n.sentToken.Load() != n.client.tokens.value() }

// markRead records that bytes have arrived.
func (n *conn) markRead() { n.lastRead.Store(int64(time.Since(n.startedAt))) }
