package board

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/trivium-hub/trivium/transports/client"
)

// Road is how a column gets its events: a client whenever the person wants one, which begins where
// the one before it stood.
type Road struct {
	cfg  RoadConfig
	kick chan struct{}

	mu      sync.Mutex
	on      bool
	hidden  bool
	use     client.Transport
	cursor  string
	stalled chan struct{} // closed when the stall ends; nil: no stall
	client  *client.Client
	leave   context.CancelFunc // ends the client; nil without one
	idle    chan struct{}      // closed when the last client has ended; nil before the first
	state   client.State
	since   time.Time // when the state began
	taken   uint64    // events and gaps of this client that the board has
	stood   string    // the client's cursor when Settle looked last
	ended   error     // why the last client ended by itself
}

// RoadConfig is what a road needs.
type RoadConfig struct {
	Column   int
	Board    *Board
	Platform client.Platform
	URL      string         // the origin
	Token    func() string  // "" where none is needed
	Clock    func() float64 // the page's, in milliseconds
	Use      client.Transport
}

// NewRoad makes one that is off.
func NewRoad(cfg RoadConfig) *Road {
	return &Road{cfg: cfg, use: cfg.Use, kick: make(chan struct{}, 1)}
}

// Run does what is wanted until ctx is done.
func (r *Road) Run(ctx context.Context) {
	for ctx.Err() == nil {
		if c, within := r.connect(ctx); c != nil {
			r.take(within, c)
			continue
		}
		select {
		case <-ctx.Done():
		case <-r.kick:
		}
	}
}

// connect begins a client if one is wanted.
func (r *Road) connect(ctx context.Context) (*client.Client, context.Context) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.on || r.letGo() {
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
	r.taken, r.stood = 0, ""
	r.state, r.since = c.State(), time.Now()
	return c, within
}

// token is nil where none is needed.
func (r *Road) token() client.TokenSource {
	if r.cfg.Token() == "" {
		return nil
	}
	return func(context.Context) (client.Token, error) { return client.Token{Value: r.cfg.Token()}, nil }
}

// letGo says whether the tab's being hidden keeps this road from being held: browsers allow six
// connections a host, and other tabs need some.
func (r *Road) letGo() bool { return r.hidden && Held(r.use) }

// Held says whether a transport holds one of the six connections that a browser allows a host.
// WebSockets count apart.
func Held(t client.Transport) bool { return t != client.WebSocket }

// take hands the client's events to the board until it ends.
func (r *Road) take(within context.Context, c *client.Client) {
	var watch sync.WaitGroup
	watch.Go(func() {
		for s := range c.States(within) {
			r.mu.Lock()
			r.state, r.since = s, time.Now()
			r.mu.Unlock()
		}
	})
	var end error
	for e, err := range c.Events(within) {
		if err != nil {
			end = err
			break
		}
		r.wait(within) // then it is taken in any case: the client has counted it as given
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

// wait waits for the end of a stall.
func (r *Road) wait(ctx context.Context) {
	r.mu.Lock()
	stalled := r.stalled
	r.mu.Unlock()
	if stalled == nil {
		return
	}
	select {
	case <-stalled:
	case <-ctx.Done():
	}
}

// change changes what is wanted, and lets the client go if it is not any more.
func (r *Road) change(how func()) {
	r.mu.Lock()
	how()
	if r.leave != nil && (!r.on || r.letGo()) {
		r.leave()
	}
	r.mu.Unlock()
	select {
	case r.kick <- struct{}{}:
	default:
	}
}

// Connect goes on where the road stood.
func (r *Road) Connect() { r.change(func() { r.on, r.ended = true, nil }) }

// Disconnect lets the connection go.
func (r *Road) Disconnect() { r.change(func() { r.on, r.ended = false, nil; r.resume() }) }

// Rest disconnects and waits until nothing comes any more.
func (r *Road) Rest(ctx context.Context) {
	r.Disconnect()
	r.mu.Lock()
	idle := r.idle
	r.mu.Unlock()
	if idle == nil {
		return
	}
	select {
	case <-idle:
	case <-ctx.Done():
	}
}

// Hide says whether the tab is hidden.
func (r *Road) Hide(hidden bool) { r.change(func() { r.hidden = hidden }) }

// Begin connects a road at rest, after a cursor.
func (r *Road) Begin(cursor string) { r.change(func() { r.on, r.ended, r.cursor = true, nil, cursor }) }

// Use changes the transport.
func (r *Road) Use(t client.Transport) {
	r.change(func() {
		r.use = t
		if r.client != nil && !r.letGo() {
			r.client.Use(t)
		}
	})
}

// Cut drops the connection; the client makes another.
func (r *Road) Cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.client != nil {
		r.client.Reconnect()
	}
}

// Stall stops taking events, Resume takes them again.
func (r *Road) Stall() {
	r.change(func() {
		if r.stalled == nil {
			r.stalled = make(chan struct{})
		}
	})
}

// Resume ends a stall.
func (r *Road) Resume() { r.change(r.resume) }

func (r *Road) resume() {
	if r.stalled != nil {
		close(r.stalled)
		r.stalled = nil
	}
}

// Settle tells the board how far the hub says that nothing more came, which finds a loss that no
// event comes after. The client's cursor moves before the board has the event it stands for, so it
// counts only if all that was given had been taken by then, and it stood there the last time too.
func (r *Road) Settle() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.client == nil {
		return
	}
	stats, at := r.client.Stats(), r.client.Cursor()
	if stats.Delivered+stats.Gaps == r.taken && at == r.stood {
		r.cfg.Board.Position(r.cfg.Column, at)
	}
	r.stood = at
}

// Mode is what a road is doing, for its colour and its buttons.
type Mode string

// The modes.
const (
	Off        Mode = "off"
	LetGo      Mode = "hidden"
	Connecting Mode = "connecting"
	Live       Mode = "live"
	Stalled    Mode = "stalled"
	Waiting    Mode = "waiting"
	Ended      Mode = "ended"
)

// RoadStatus is how a road stands at one moment.
type RoadStatus struct {
	Mode    Mode
	Use     client.Transport
	On      bool // the person wants it connected
	Stalled bool
	Begun   bool // there is a cursor to go on from
	Text    string
	Err     error // why it ended
}

// Status says how it stands.
func (r *Road) Status(now time.Time) RoadStatus {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := RoadStatus{Use: r.use, On: r.on, Stalled: r.stalled != nil, Begun: r.cursor != "", Err: r.ended}
	name := TransportName(r.state.Transport)
	why := Reason(r.state.Reason)
	switch {
	case r.ended != nil:
		s.Mode, s.Text = Ended, "Ended: "+Reason(r.ended)
	case !r.on && r.client == nil:
		s.Mode, s.Text = Off, "Disconnected"
	case r.letGo():
		s.Mode, s.Text = LetGo, "Let go while the tab is hidden"
	case r.client == nil, r.state.Phase == client.Connecting:
		s.Mode, s.Text = Connecting, sentence("Connecting over "+TransportName(r.use), why)
	case r.state.Phase == client.Waiting:
		left := max(0, r.state.Wait-now.Sub(r.since))
		s.Mode, s.Text = Waiting, sentence("Waiting "+Seconds(left), why)
	case r.state.Phase == client.Ended:
		s.Mode, s.Text = Ended, sentence("Ended", why)
	case s.Stalled:
		s.Mode, s.Text = Stalled, "Stalled: taking no events from "+name
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
