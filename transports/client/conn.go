package client

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// conn is one connection, from the try to the end. Its goroutine, the pump, opens the stream and hands
// on what comes, one message at a time: nobody reads ahead, so a client that does not take its events
// holds back the hub.
type conn struct {
	// static

	client    *Client
	transport Transport
	messages  chan message // closed at the end
	cancel    context.CancelFunc
	begun     time.Time

	err error // why it ended; read after messages is closed

	heard atomic.Int64           // when bytes came last, in nanoseconds from begun: clocks are set
	used  atomic.Pointer[string] // the token that was sent last

	mu      sync.Mutex
	stream  stream // nil: not open yet
	stopped bool
}

// connect begins a connection. Who begins it stops it.
func (c *Client) connect(ctx context.Context, t Transport, a ask) *conn {
	ctx, cancel := context.WithCancel(ctx)
	n := &conn{client: c, transport: t, messages: make(chan message), cancel: cancel, begun: time.Now()}
	none := ""
	n.used.Store(&none)
	c.workers.Go(func() {
		defer close(n.messages)
		n.err = withoutToken(n.pump(ctx, a), *n.used.Load())
	})
	return n
}

func (n *conn) pump(ctx context.Context, a ask) error {
	s, err := n.open(ctx, a)
	if err != nil {
		return err
	}
	defer s.close()
	if !n.hold(s) {
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

// hold keeps the stream for who wants to stop it or to send by it, unless it is stopped already.
func (n *conn) hold(s stream) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.stream = s
	return !n.stopped
}

// stop ends the connection and waits for the pump. What it had in hand is dropped.
func (n *conn) stop() {
	n.mu.Lock()
	s := n.stream
	n.stopped = true
	n.mu.Unlock()
	if s != nil {
		s.close() // before the context ends, so that a goodbye can be said
	}
	n.cancel()
	for range n.messages {
	}
}

// errNoCommands: only a WebSocket takes commands.
var errNoCommands = errors.New("this connection takes no commands")

// send sends a command.
func (n *conn) send(command []byte) error {
	n.mu.Lock()
	s, ok := n.stream.(*streamSocket)
	n.mu.Unlock()
	if !ok {
		return errNoCommands
	}
	return s.send(command)
}

// token gives the token to send.
func (n *conn) token() string {
	token := n.client.vault.value()
	n.used.Store(&token)
	return token
}

// outdated reports that there is another token by now.
func (n *conn) outdated() bool { return *n.used.Load() != n.client.vault.value() }

func (n *conn) touch() { n.heard.Store(int64(time.Since(n.begun))) }
