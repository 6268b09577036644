package client

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
)

// Client is a subscription that continues after its connection is lost. Its methods are safe for
// concurrent use.
type Client struct {
	// The following fields do not change.

	cfg      Config // the configuration with defaults set
	platform Platform
	base     string // prefix of every URL: scheme, host, and path without a trailing slash
	tokens   *tokenCache
	pollTab  string          // unique parameter in the URL of polls, because a browser sends requests for the same URL one after the other; "" outside a page
	ctx      context.Context // ends when the client ends
	cancel   context.CancelFunc

	workers    sync.WaitGroup // goroutines started by run, directly or indirectly
	stopped    chan struct{}  // closed when run and workers have ended
	deliveries chan delivery
	commands   chan func(*loop)
	changes    chan *change
	done       chan struct{} // closed at the end; endErr and leftover are set before
	endErr     error         // the last error that Events returns
	leftover   []delivery    // deliveries received before the client ended; owned by the caller of Events

	reading atomic.Bool // set while a loop over Events runs
	cursor  atomic.Pointer[string]
	states  states
	stats   counters
}

type counters struct {
	delivered, gaps, connects, reconnects, switches atomic.Uint64
}

// ErrClosed is the error of Events after Close.
var ErrClosed = errors.New("client: closed")

// Connect checks the configuration and starts a client; it does not wait for a connection. If cfg
// has no start position, events published before the client is Live are not delivered. If the hub
// refuses the subscription, States and the last error of Events report the reason. When ctx ends,
// the client ends as after Close. The error of Connect names every invalid field.
func Connect(ctx context.Context, cfg Config) (*Client, error) {
	base, err := cfg.check()
	if err != nil {
		return nil, err
	}
	c := &Client{
		cfg:        cfg,
		platform:   cfg.Platform,
		base:       base,
		deliveries: make(chan delivery),
		commands:   make(chan func(*loop)),
		changes:    make(chan *change),
		done:       make(chan struct{}),
		stopped:    make(chan struct{}),
	}
	c.ctx, c.cancel = context.WithCancel(ctx)
	c.tokens = newTokenCache(c.ctx, cfg.Token, &c.workers)
	c.cursor.Store(&cfg.Cursor)
	if pageOrigin() != "" {
		c.pollTab = strconv.FormatUint(rand.Uint64(), 36)
	}
	l := newLoop(c)
	c.states.set(State{Phase: Connecting, Transport: l.transport})
	go l.run()
	return c, nil
}

// address returns the URL of a path at the hub.
func (c *Client) address(path string, q query) string {
	if q == "" {
		return c.base + path
	}
	return c.base + path + "?" + string(q)
}

// Cursor returns the program's position: the ID of the last event that the program has read, or a
// later position if the hub has reported that there are no matching events up to it. It changes
// only while Events is read; before that it is Config.Cursor.
func (c *Client) Cursor() string { return *c.cursor.Load() }

// Use changes the transport. The subscription resumes over the new transport at its position. Auto
// starts again with the best transport, even if Auto was selected before. A transport that the
// platform does not support (EventSource outside a page) ends the client with a *FinalError.
func (c *Client) Use(t Transport) { c.command(func(l *loop) { l.useTransport(t) }) }

// Reconnect closes the connection, if there is one, and opens a new one immediately.
func (c *Client) Reconnect() { c.command((*loop).reconnect) }

func (c *Client) command(do func(*loop)) {
	select {
	case c.commands <- do:
	case <-c.done:
	}
}

// Stats returns the counters.
func (c *Client) Stats() Stats {
	return Stats{
		Delivered:  c.stats.delivered.Load(),
		Gaps:       c.stats.gaps.Load(),
		Connects:   c.stats.connects.Load(),
		Reconnects: c.stats.reconnects.Load(),
		Switches:   c.stats.switches.Load(),
	}
}

// Close closes the connection, and waits for every goroutine of the client, including a running
// call of the TokenSource. A TokenSource must therefore not call Close. Events then ends with
// ErrClosed.
func (c *Client) Close() {
	c.cancel()
	<-c.stopped
}
