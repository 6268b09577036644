package client

import (
	"fmt"
	"math"
	"time"
)

// loop is the client's one goroutine, run: it owns the state of the connection, whose fields nobody
// else touches. It waits in one place, step, and for nothing else but the end of a connection that it
// stops, which does not take long, and for room for a command.
type loop struct {
	c *Client // static

	// what is wanted

	choice   Transport
	topics   []string // agreed with the hub, or as configured
	change   *change  // of the topics, under way; nil: none
	received string   // where the next connection resumes; "": as configured
	begun    time.Time

	// what there is

	phase     Phase
	transport Transport  // of conn, or of the next
	conn      *conn      // nil: none
	pending   []delivery // what came, until the program takes it: events, and at the end perhaps a place
	ahead     int        // bytes of data in it
	alarm     *time.Timer
	liveSince time.Time
	retry     time.Duration // what the stream said of when to come back; 0: nothing
	watch     watch
	ended     error

	// what was before

	tries     int       // that failed since it was live for a while
	connected bool      // it has been live
	before    Transport // by this one
	ladder    ladder

	// the token

	asking      *tokenCall // under way; nil: none
	renewal     *time.Timer
	failures    int      // calls to renew that failed, in turn
	denied      *Problem // of the token that was sent last; nil: it was not
	deniedToken string
	denials     int // of tokens in turn, since one was accepted

	// commands on a WebSocket

	refs    int
	authRef string // of the auth under way; "": none
	token   string // that it brings
}

func newLoop(c *Client) *loop {
	l := &loop{
		c:        c,
		choice:   c.cfg.Transport,
		topics:   distinct(c.cfg.Topics),
		received: c.cfg.Cursor,
		begun:    time.Now(),
		alarm:    stoppedTimer(),
		renewal:  stoppedTimer(),
		ladder:   newLadder(),
	}
	l.transport = l.ladder.choose(l.choice)
	return l
}

// stoppedTimer makes a timer to be Reset.
func stoppedTimer() *time.Timer {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}

// run is the goroutine.
func (l *loop) run() {
	wakes, stop := l.c.platform.Wakes()
	l.connect()
	for l.ended == nil {
		l.step(wakes)
	}
	stop()
	l.finish()
	l.c.workers.Wait()
	if p, ok := l.c.platform.(interface{ CloseIdleConnections() }); ok {
		p.CloseIdleConnections()
	}
	close(l.c.over)
}

// step waits for one thing and does what it takes.
func (l *loop) step(wakes <-chan Wake) {
	messages, deliveries, changes, asked := l.waitsFor()
	var next delivery
	if len(l.pending) > 0 {
		next = l.pending[0]
	}
	select {
	case <-l.c.ctx.Done():
		l.ended = ErrClosed
	case deliveries <- next:
		l.delivered()
	case m, ok := <-messages:
		if ok {
			l.receive(m)
		} else {
			l.lose(l.conn.err)
		}
	case <-l.alarm.C:
		l.ring()
	case do := <-l.c.commands:
		do(l)
	case ch := <-changes:
		l.begin(ch)
	case <-asked:
		l.answered()
	case <-l.renewal.C:
		l.asking = l.c.vault.ask()
	case <-l.c.vault.renewed:
		l.freshen()
	case <-l.ladder.timer.C:
		l.probe()
	case better := <-l.ladder.found:
		l.probed(better)
	case w := <-wakes:
		l.wake(w)
	}
}

// waitsFor gives the channels that count just now; one that does not is nil.
func (l *loop) waitsFor() (<-chan message, chan<- delivery, <-chan *change, <-chan struct{}) {
	var messages <-chan message
	if l.reading() {
		messages = l.conn.messages
	}
	var deliveries chan<- delivery
	if len(l.pending) > 0 {
		deliveries = l.c.deliveries
	}
	var changes <-chan *change
	if l.change == nil {
		changes = l.c.changes
	}
	var asked <-chan struct{}
	if l.asking != nil {
		asked = l.asking.done
	}
	return messages, deliveries, changes, asked
}

// reading reports that more is taken from the connection. Where an event waits for the program it is
// not, but for two answers that the program may be waiting for itself: that a connection begins, which
// comes first on it, and that a command was carried out, to which it reads on for a while.
func (l *loop) reading() bool {
	switch {
	case l.conn == nil:
		return false
	case l.phase == Connecting || len(l.pending) == 0 || l.pending[0].event == nil:
		return true
	}
	return l.telling() && len(l.pending) < maxAhead && l.ahead < maxAheadBytes
}

// What is kept for the program while a command is under way.
const (
	maxAhead      = 1000
	maxAheadBytes = 1 << 20
)

// enter changes what State says.
func (l *loop) enter(p Phase, reason error) {
	l.show(State{Phase: p, Transport: l.transport, Reason: reason})
}

func (l *loop) show(s State) {
	l.phase = s.Phase
	if last := l.c.State(); s.Phase == Connecting && last == (State{Phase: Connecting, Transport: s.Transport}) && s.Reason == nil {
		return // it is no news
	}
	l.c.states.set(s)
}

// connect makes a connection, if there is something to read and all that it takes.
func (l *loop) connect() {
	l.drop()
	l.transport = l.ladder.choose(l.choice)
	topics := l.wanted()
	switch {
	case topics != nil && len(topics) == 0:
		l.enter(Idle, nil)
		return
	case l.denied != nil || l.c.vault.missing():
		l.asking = l.c.vault.ask()
		l.enter(Connecting, l.reason())
		return
	}
	l.conn = l.c.connect(l.c.ctx, l.transport, l.ask(topics))
	l.alarm.Reset(l.c.cfg.OpenTimeout)
	l.enter(Connecting, l.reason())
}

func (l *loop) ask(topics []string) ask {
	cfg := &l.c.cfg
	return ask{topics: topics, cursor: l.received, last: cfg.Last, since: l.since(), conflate: cfg.Conflate}
}

// since is as the hub takes it. What is told to begin some time ago means the same events however long
// the first connection takes; and the hub's clock counts, which need not be this one.
func (l *loop) since() string {
	switch cfg := &l.c.cfg; {
	case !cfg.SinceTime.IsZero():
		return cfg.SinceTime.UTC().Format(time.RFC3339Nano)
	case cfg.Since > 0:
		ago := cfg.Since + min(time.Since(l.begun), math.MaxInt64-cfg.Since)
		return ago.String()
	}
	return ""
}

// wanted is what the next connection asks for.
func (l *loop) wanted() []string {
	if l.change != nil {
		return l.change.topics
	}
	return l.topics
}

// reason is why the transport is not the one that Auto would choose first.
func (l *loop) reason() error {
	if l.choice != Auto {
		return nil
	}
	return l.ladder.reason()
}

// drop lets the connection go, if there is one, and whatever was to happen with it.
func (l *loop) drop() {
	l.alarm.Stop()
	l.ladder.rest()
	l.authRef, l.retry = "", 0
	if l.change != nil {
		l.change.ref = ""
	}
	if l.conn != nil {
		l.conn.stop()
		l.conn = nil
	}
}

// ring is called when the time is over for what the phase waits for.
func (l *loop) ring() {
	switch l.phase {
	case Connecting:
		l.lose(fmt.Errorf("the hub has said nothing for %v", l.c.cfg.OpenTimeout))
	case Live:
		l.look()
	case Waiting:
		l.connect()
	}
}

func (l *loop) reconnect() {
	if l.phase != Idle {
		l.connect()
	}
}

func (l *loop) use(t Transport) {
	if l.choice == t && (t != Auto || l.ladder.rung == 0) {
		return
	}
	l.choice = t
	l.ladder.reset()
	if next := l.ladder.choose(t); next == l.transport && (l.phase == Live || l.phase == Connecting) {
		l.enter(l.phase, nil)
		return
	}
	if l.phase == Idle {
		l.transport = l.ladder.choose(t)
		l.enter(Idle, nil)
		return
	}
	l.connect()
}

// wake follows what the platform tells.
func (l *loop) wake(w Wake) {
	switch {
	case l.phase == Idle || l.ended != nil:
	case w == WakeNetwork:
		l.ladder.reset()
		l.tries = 0
		l.connect()
	case l.phase == Waiting, l.phase == Live && l.quiet() > l.beat():
		l.connect()
	}
}

// finish ends what the loop has begun. What came before a final answer the program still gets.
func (l *loop) finish() {
	l.drop()
	l.renewal.Stop()
	l.c.vault.close()
	if l.ended != ErrClosed {
		l.c.rest = l.pending
	}
	if l.change != nil {
		l.change.reply <- l.ended
	}
	l.c.end = l.ended
	l.enter(Ended, l.ended)
	l.c.cancel()
	close(l.c.done)
}
