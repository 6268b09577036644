package client

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
)

// Client is a subscription that survives its connections. Its methods may be called by any goroutine.
type Client struct {
	// static

	cfg      Config // with defaults
	platform Platform
	base     string // of every URL: scheme, host, and path without a slash at its end
	vault    *vault
	tab      string          // of the URL of polls in a page, so that no other tab polls the same; "": there is no page
	ctx      context.Context // done when the client ends
	cancel   context.CancelFunc

	workers    sync.WaitGroup // the goroutines that run has started, directly or not
	over       chan struct{}  // closed when run and workers have ended
	deliveries chan delivery
	commands   chan func(*loop)
	changes    chan *change
	done       chan struct{} // closed at the end; end and rest are set before
	end        error         // what Events ends with
	rest       []delivery    // of what came before the end; owned by who reads

	reading atomic.Bool // Events is being read
	cursor  atomic.Pointer[string]
	states  states
	stats   counters
}

type counters struct {
	delivered, gaps, connects, reconnects, switches atomic.Uint64
}

// ErrClosed is the end of a client that was closed.
var ErrClosed = errors.New("client: closed")

// Connect checks the configuration and begins to connect; it does not wait. Where nothing says where to
// begin, what is published before the client is Live is not for it. What the hub says comes by States
// and at the end of Events. When ctx is done the client ends as by Close. The error names
// every field that is wrong.
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
		over:       make(chan struct{}),
	}
	c.ctx, c.cancel = context.WithCancel(ctx)
	c.vault = newVault(c.ctx, cfg.Token, &c.workers)
	c.cursor.Store(&cfg.Cursor)
	if pageOrigin() != "" {
		c.tab = strconv.FormatUint(rand.Uint64(), 36)
	}
	l := newLoop(c)
	c.states.set(State{Phase: Connecting, Transport: l.transport})
	go l.run()
	return c, nil
}

// address makes a URL of the hub.
func (c *Client) address(path string, q query) string {
	if q == "" {
		return c.base + path
	}
	return c.base + path + "?" + string(q)
}

// Cursor is where the program stands: after the last event it was given, or later if the hub has
// said since that nothing that matches came. It moves only while Events is read, and before that it
// is Config.Cursor.
func (c *Client) Cursor() string { return *c.cursor.Load() }

// Use changes the transport. The new one goes on where the old one stood. Auto begins with the best,
// even where it was Auto before. One that there is none of here (EventSource outside a page) ends the
// client, by a *FinalError.
func (c *Client) Use(t Transport) { c.command(func(l *loop) { l.use(t) }) }

// Reconnect drops the connection, if there is one, and makes another at once.
func (c *Client) Reconnect() { c.command((*loop).reconnect) }

func (c *Client) command(do func(*loop)) {
	select {
	case c.commands <- do:
	case <-c.done:
	}
}

// Stats counts.
func (c *Client) Stats() Stats {
	return Stats{
		Delivered:  c.stats.delivered.Load(),
		Gaps:       c.stats.gaps.Load(),
		Connects:   c.stats.connects.Load(),
		Reconnects: c.stats.reconnects.Load(),
		Switches:   c.stats.switches.Load(),
	}
}

// Close lets the connection go and waits for what the client has started, a call of the TokenSource
// too, which must not call it. Events ends with ErrClosed.
func (c *Client) Close() {
	c.cancel()
	<-c.over
}
