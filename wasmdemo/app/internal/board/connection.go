package board

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/trivium-hub/trivium/transports/client"
)

// Connection supplies a column with events: it runs a client while the column is switched on, and each client
// resumes where the previous one stopped.
type Connection struct {
	cfg  ConnectionConfig
	kick chan struct{}

	mu      sync.Mutex
	on      bool
	hidden  bool
	broken  bool // set from Break to Mend
	use     client.Transport
	cursor  string
	stalled chan struct{} // closed when the stall ends; nil: not stalled
	client  *client.Client
	leave   context.CancelFunc // ends the client; nil: there is none
	idle    chan struct{}      // closed when the last client has ended; nil before the first
	state   client.State
	since   time.Time // start of the current state
	failed  bool      // an attempt to connect has failed since the client was last live
	taken   uint64    // number of events and gaps of this client that the board has received
	synced  string    // the client's cursor at the last call of SyncPosition
	ended   error     // the reason why the last client ended by itself
}

// ConnectionConfig configures a Connection.
type ConnectionConfig struct {
	Column   int
	Board    *Board
	Platform client.Platform
	URL      string         // the origin of the hub
	Token    func() string  // returns "" if no token is needed
	Clock    func() float64 // the page's clock, in milliseconds
	Use      client.Transport
}

// NewConnection returns a connection that is switched off.
func NewConnection(cfg ConnectionConfig) *Connection {
	return &Connection{cfg: cfg, use: cfg.Use, kick: make(chan struct{}, 1)}
}

// Run starts and stops clients as requested until ctx is done.
func (r *Connection) Run(ctx context.Context) {
	for ctx.Err() == nil {
		if c, within := r.connect(ctx); c != nil {
			r.deliver(within, c)
			continue
		}
		select {
		case <-ctx.Done():
		case <-r.kick:
		}
	}
}

// connect starts a client if one is requested.
func (r *Connection) connect(ctx context.Context) (*client.Client, context.Context) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.on || r.suspended() {
		return nil, nil
	}
	within, leave := context.WithCancel(ctx)
	c, err := client.Connect(within, client.Config{
		URL: r.cfg.URL, Token: r.token(), Transport: r.use, Cursor: r.cursor, Platform: r.cfg.Platform,
	})
	if err != nil {
		leave()
		r.on, r.ended = false, err
		return nil, nil
	}
	r.client, r.leave, r.ended, r.idle = c, leave, nil, make(chan struct{})
	r.taken, r.synced = 0, ""
	r.state, r.since, r.failed = c.State(), time.Now(), false
	return c, within
}

// token returns the source of the client's tokens, or nil if no token is needed.
func (r *Connection) token() client.TokenSource {
	if r.cfg.Token() == "" {
		return nil
	}
	return func(context.Context) (client.Token, error) { return client.Token{Value: r.cfg.Token()}, nil }
}

// suspended reports whether the connection is interrupted by Break, or is released because the tab
// is hidden: a browser allows six connections per host, and other tabs need some of them.
func (r *Connection) suspended() bool { return r.broken || r.hidden && Held(r.use) }

// Held reports whether a transport uses one of the browser's six connections per host. A WebSocket
// does not.
func Held(t client.Transport) bool { return t != client.WebSocket }

// deliver passes the client's events to the board until the client ends.
func (r *Connection) deliver(within context.Context, c *client.Client) {
	var watch sync.WaitGroup
	watch.Go(func() {
		for s := range c.States(within) {
			r.setState(s)
		}
	})
	var end error
	for e, err := range c.Events(within) {
		if err != nil {
			end = err
			break
		}
		r.waitForStall(within) // the event is delivered even if ctx ends, because the client has counted it
		r.cfg.Board.Arrive(r.cfg.Column, e, time.Now(), r.cfg.Clock())
		r.mu.Lock()
		r.taken++
		r.mu.Unlock()
	}
	wanted := within.Err() != nil
	r.mu.Lock()
	r.leave()
	r.mu.Unlock()
	c.Close()
	watch.Wait()

	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.idle)
	r.client, r.leave, r.cursor = nil, nil, c.Cursor()
	if !wanted && !errors.Is(end, client.ErrClosed) {
		r.on, r.ended = false, end
	}
}

func (r *Connection) setState(s client.State) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case s.Phase == client.Live:
		r.failed = false
	case s.Phase == client.Waiting && r.state.Phase != client.Live:
		r.failed = true
	}
	r.state, r.since = s, time.Now()
}

// waitForStall blocks while reading is stopped by Stall.
func (r *Connection) waitForStall(ctx context.Context) {
	r.mu.Lock()
	stalled := r.stalled
	r.mu.Unlock()
	waitFor(ctx, stalled)
}

// waitFor blocks until ended is closed or the context ends. If ended is nil, it returns at once.
func waitFor(ctx context.Context, ended <-chan struct{}) {
	if ended == nil {
		return
	}
	select {
	case <-ended:
	case <-ctx.Done():
	}
}

// change calls update, which changes the requested state. Then it ends the client if it is no
// longer needed.
func (r *Connection) change(update func()) {
	r.mu.Lock()
	update()
	if r.leave != nil && (!r.on || r.suspended()) {
		r.leave()
	}
	r.mu.Unlock()
	select {
	case r.kick <- struct{}{}:
	default:
	}
}

// Connect resumes at the connection's cursor.
func (r *Connection) Connect() { r.change(func() { r.on, r.broken, r.ended = true, false, nil }) }

// Disconnect ends the client.
func (r *Connection) Disconnect() {
	r.change(func() { r.on, r.broken, r.ended = false, false, nil; r.resume() })
}

// Break ends the client. A new client starts when Mend is called.
func (r *Connection) Break() { r.change(func() { r.broken = true }) }

// Mend undoes Break: a new client resumes at the connection's cursor.
func (r *Connection) Mend() { r.change(func() { r.broken = false }) }

// Rest disconnects and waits until no more events are delivered.
func (r *Connection) Rest(ctx context.Context) {
	r.Disconnect()
	r.mu.Lock()
	idle := r.idle
	r.mu.Unlock()
	waitFor(ctx, idle)
}

// Hide sets whether the tab is hidden.
func (r *Connection) Hide(hidden bool) { r.change(func() { r.hidden = hidden }) }

// Begin connects at a cursor. The caller must have called Rest before.
func (r *Connection) Begin(cursor string) {
	r.change(func() { r.on, r.ended, r.cursor = true, nil, cursor })
}

// Use changes the transport.
func (r *Connection) Use(t client.Transport) {
	r.change(func() {
		r.use = t
		if r.client != nil && !r.suspended() {
			r.client.Use(t)
		}
	})
}

// Cut drops the connection. The client reconnects by itself.
func (r *Connection) Cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.client != nil {
		r.client.Reconnect()
	}
}

// Stall stops reading events until Resume is called.
func (r *Connection) Stall() {
	r.change(func() {
		if r.stalled == nil {
			r.stalled = make(chan struct{})
		}
	})
}

// Resume undoes Stall.
func (r *Connection) Resume() { r.change(r.resume) }

func (r *Connection) resume() {
	if r.stalled != nil {
		close(r.stalled)
		r.stalled = nil
	}
}

// SyncPosition passes the client's cursor to the board, so that the board detects a loss even if no
// later event arrives. The cursor may be ahead of the events that the board has received. It is
// therefore passed on only if the board has received all events and the cursor has not changed
// since the last call.
func (r *Connection) SyncPosition() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.client == nil {
		return
	}
	stats, at := r.client.Stats(), r.client.Cursor()
	if stats.Delivered+stats.Gaps == r.taken && at == r.synced {
		r.cfg.Board.Position(r.cfg.Column, at)
	}
	r.synced = at
}

// Mode is the state of a connection. It determines the colors and buttons that the page shows.
type Mode string

// Modes of a connection.
const (
	Off        Mode = "off"
	Released   Mode = "hidden"
	Broken     Mode = "broken"
	Connecting Mode = "connecting"
	Live       Mode = "live"
	Behind     Mode = "behind" // live, but lagging
	Faulty     Mode = "faulty" // live, but events were lost, doubled or out of order
	Stalled    Mode = "stalled"
	Waiting    Mode = "waiting"
	Ended      Mode = "ended"
)

// ConnectionStatus is a connection's state.
type ConnectionStatus struct {
	Mode    Mode
	Use     client.Transport
	On      bool // whether the user wants the column to be connected
	Stalled bool
	Begun   bool // whether there is a cursor to resume at
	Failed  bool // an attempt to connect has failed since the connection was last live
	Text    string
	Err     error // the reason why the connection ended
}

// Compared returns a copy of the status to which the result of the comparison is added. The mode of
// the copy is Live only if the column has no faults and is not lagging.
func (s ConnectionStatus) Compared(t Tally, lagging bool) ConnectionStatus {
	switch {
	case s.Mode != Live:
	case t.Faulty():
		s.Mode, s.Text = Faulty, s.Text+", not the same events"
	case lagging:
		s.Mode, s.Text = Behind, s.Text+", "+Count(t.Behind)+" behind"
	}
	return s
}

// Status returns the current state.
func (r *Connection) Status(now time.Time) ConnectionStatus {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := ConnectionStatus{Use: r.use, On: r.on, Stalled: r.stalled != nil, Begun: r.cursor != "", Failed: r.failed, Err: r.ended}
	name := TransportName(r.state.Transport)
	why := Reason(r.state.Reason)
	switch {
	case r.ended != nil:
		s.Mode, s.Text = Ended, "Ended: "+Reason(r.ended)
	case !r.on && r.client == nil:
		s.Mode, s.Text = Off, "Disconnected"
	case r.broken:
		s.Mode, s.Text = Broken, "Interrupted by this page"
	case r.suspended():
		s.Mode, s.Text = Released, "Connection closed while the tab is hidden"
	case r.client == nil, r.state.Phase == client.Connecting:
		s.Mode, s.Text = Connecting, sentence("Connecting over "+TransportName(r.use), why)
	case r.state.Phase == client.Waiting:
		left := max(0, r.state.Wait-now.Sub(r.since))
		s.Mode, s.Text = Waiting, sentence("Waiting "+Seconds(left), why)
	case r.state.Phase == client.Ended:
		s.Mode, s.Text = Ended, sentence("Ended", why)
	case s.Stalled:
		s.Mode, s.Text = Stalled, "Stalled: reading no events from "+name
	default:
		s.Mode, s.Text = Live, sentence("Live over "+name, why)
	}
	return s
}

func sentence(text, why string) string {
	if why == "" {
		return text
	}
	return text + ": " + why
}
