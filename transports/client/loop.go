package client

import (
	"fmt"
	"math"
	"time"
)

// loop is the state of the goroutine run; no other goroutine accesses it. run blocks only in step
// and, for a short time, while it stops a connection.
type loop struct {
	c *Client // immutable

	// These fields record what the program has requested.

	selected  Transport
	topics    []string // the topics that the hub has accepted last, or at first the configured ones
	change    *change  // the running change of topics; nil if none
	received  string   // cursor at which the next connection starts; "": the configured start position
	startedAt time.Time

	// These fields describe the current connection.

	phase        Phase
	transport    Transport  // transport of conn, or of the next connection
	conn         *conn      // nil: there is no connection
	pending      []delivery // deliveries that the program has not read: events, and possibly a position at the end
	pendingBytes int        // bytes of the events' data in pending
	phaseTimer   *time.Timer
	liveSince    time.Time
	retryHint    time.Duration // the stream's retry time; 0 if it sent none
	liveness     liveness
	endErr       error

	// These fields record earlier connections.

	tries         int // failed attempts since the last stable connection
	hasBeenLive   bool
	lastTransport Transport // transport of the previous live connection
	fallback      fallbackList

	// These fields describe the token.

	tokenCall       *tokenCall // running call of the TokenSource; nil: none
	renewalTimer    *time.Timer
	renewalFailures int      // consecutive failed renewals
	rejection       *Problem // the reason why the hub rejected the last token; nil: not rejected
	rejectedToken   string
	rejections      int // consecutive rejected tokens

	// These fields describe WebSocket commands.

	lastRef   int
	authRef   string // ref of the auth command that the hub has not answered; "": none
	authToken string // token in that command
}

func newLoop(c *Client) *loop {
	l := &loop{
		c:            c,
		selected:     c.cfg.Transport,
		topics:       distinct(c.cfg.Topics),
		received:     c.cfg.Cursor,
		startedAt:    time.Now(),
		phaseTimer:   stoppedTimer(),
		renewalTimer: stoppedTimer(),
		fallback:     newFallbackList(),
	}
	l.transport = l.fallback.transportFor(l.selected)
	return l
}

// stoppedTimer returns a timer that is not running.
func stoppedTimer() *time.Timer {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}

// run is the client's goroutine.
func (l *loop) run() {
	wakes, stop := l.c.platform.Wakes()
	l.connect()
	for l.endErr == nil {
		l.step(wakes)
	}
	stop()
	l.finish()
	l.c.workers.Wait()
	if p, ok := l.c.platform.(interface{ CloseIdleConnections() }); ok {
		p.CloseIdleConnections()
	}
	close(l.c.stopped)
}

// step waits for one event and handles it.
func (l *loop) step(wakes <-chan Wake) {
	messages, deliveries, changes, asked := l.activeChannels()
	var next delivery
	if len(l.pending) > 0 {
		next = l.pending[0]
	}
	select {
	case <-l.c.ctx.Done():
		l.endErr = ErrClosed
	case deliveries <- next:
		l.onDelivered()
	case m, ok := <-messages:
		if ok {
			l.receive(m)
		} else {
			l.connectionLost(l.conn.err)
		}
	case <-l.phaseTimer.C:
		l.onPhaseTimer()
	case do := <-l.c.commands:
		do(l)
	case ch := <-changes:
		l.startChange(ch)
	case <-asked:
		l.onTokenCallDone()
	case <-l.renewalTimer.C:
		l.tokenCall = l.c.tokens.fetchAsync()
	case <-l.c.tokens.renewed:
		l.applyToken()
	case <-l.fallback.probeTimer.C:
		l.startProbe()
	case better := <-l.fallback.probeResult:
		l.onProbeResult(better)
	case w := <-wakes:
		l.onWake(w)
	}
}

// activeChannels returns the channels to wait on in the current state. Channels to ignore are nil.
func (l *loop) activeChannels() (<-chan message, chan<- delivery, <-chan *change, <-chan struct{}) {
	var messages <-chan message
	if l.canRead() {
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
	if l.tokenCall != nil {
		asked = l.tokenCall.done
	}
	return messages, deliveries, changes, asked
}

// canRead reports whether run may read from the connection. Usually run stops reading until the program
// has read all pending events. There are two exceptions: a connection is being opened, or a command is
// unanswered. The program may then wait for the result before it reads events, and run can receive the
// result only by reading. While a command is unanswered, run reads a limited number of events.
func (l *loop) canRead() bool {
	switch {
	case l.conn == nil:
		return false
	case l.phase == Connecting || len(l.pending) == 0 || l.pending[0].event == nil:
		return true
	}
	return l.commandPending() && len(l.pending) < maxAhead && l.pendingBytes < maxAheadBytes
}

// Limits of the pending events that run holds while it waits for the hub's answer to a command.
const (
	maxAhead      = 1000
	maxAheadBytes = 1 << 20
)

// setPhase changes the phase and its reason.
func (l *loop) setPhase(p Phase, reason error) {
	l.setState(State{Phase: p, Transport: l.transport, Reason: reason})
}

func (l *loop) setState(s State) {
	l.phase = s.Phase
	if last := l.c.State(); s.Phase == Connecting && last == (State{Phase: Connecting, Transport: s.Transport}) && s.Reason == nil {
		return // the state is the same as before
	}
	l.c.states.set(s)
}

// connect opens a connection, unless there are no topics or the client must first get a token.
func (l *loop) connect() {
	l.dropConnection()
	l.transport = l.fallback.transportFor(l.selected)
	topics := l.wantedTopics()
	switch {
	case topics != nil && len(topics) == 0:
		l.setPhase(Idle, nil)
		return
	case l.rejection != nil || l.c.tokens.missing():
		l.tokenCall = l.c.tokens.fetchAsync()
		l.setPhase(Connecting, l.fallbackReason())
		return
	}
	l.conn = l.c.connect(l.c.ctx, l.transport, l.subscribeParams(topics))
	l.phaseTimer.Reset(l.c.cfg.OpenTimeout)
	l.setPhase(Connecting, l.fallbackReason())
}

func (l *loop) subscribeParams(topics []string) subscribeParams {
	cfg := &l.c.cfg
	return subscribeParams{topics: topics, cursor: l.received, last: cfg.Last, since: l.sinceParam(), conflate: cfg.Conflate}
}

// sinceParam returns the value of the query parameter since. It is Config.Since plus the time since
// Connect, so that a late first connection starts with the same events. It is a duration, not a
// time, because the hub's clock may differ from the client's.
func (l *loop) sinceParam() string {
	switch cfg := &l.c.cfg; {
	case !cfg.SinceTime.IsZero():
		return cfg.SinceTime.UTC().Format(time.RFC3339Nano)
	case cfg.Since > 0:
		ago := cfg.Since + min(time.Since(l.startedAt), math.MaxInt64-cfg.Since)
		return ago.String()
	}
	return ""
}

// wantedTopics returns the topics of the next connection.
func (l *loop) wantedTopics() []string {
	if l.change != nil {
		return l.change.topics
	}
	return l.topics
}

// fallbackReason returns the reason why Auto does not use its best transport.
func (l *loop) fallbackReason() error {
	if l.selected != Auto {
		return nil
	}
	return l.fallback.reason()
}

// dropConnection stops the connection, if there is one, and its timers and commands.
func (l *loop) dropConnection() {
	l.phaseTimer.Stop()
	l.fallback.stopProbing()
	l.authRef, l.retryHint = "", 0
	if l.change != nil {
		l.change.ref = ""
	}
	if l.conn != nil {
		l.conn.stop()
		l.conn = nil
	}
}

// onPhaseTimer handles the timeout of the current phase.
func (l *loop) onPhaseTimer() {
	switch l.phase {
	case Connecting:
		l.connectionLost(fmt.Errorf("no answer from the hub within %v", l.c.cfg.OpenTimeout))
	case Live:
		l.checkLiveness()
	case Waiting:
		l.connect()
	}
}

func (l *loop) reconnect() {
	if l.phase != Idle {
		l.connect()
	}
}

func (l *loop) useTransport(t Transport) {
	if l.selected == t && (t != Auto || l.fallback.step == 0) {
		return
	}
	l.selected = t
	l.fallback.reset()
	if next := l.fallback.transportFor(t); next == l.transport && (l.phase == Live || l.phase == Connecting) {
		l.setPhase(l.phase, nil)
		return
	}
	if l.phase == Idle {
		l.transport = l.fallback.transportFor(t)
		l.setPhase(Idle, nil)
		return
	}
	l.connect()
}

// onWake handles a wake-up of the platform.
func (l *loop) onWake(w Wake) {
	switch {
	case l.phase == Idle || l.endErr != nil:
	case w == WakeNetwork:
		l.fallback.reset()
		l.tries = 0
		l.connect()
	case l.phase == Waiting, l.phase == Live && l.silence() > l.expectedInterval():
		l.connect()
	}
}

// finish stops the connection, the timers and the token cache, and ends the client. If the hub
// refused the client, the program can still read the events that were received before.
func (l *loop) finish() {
	l.dropConnection()
	l.renewalTimer.Stop()
	l.c.tokens.close()
	if l.endErr != ErrClosed {
		l.c.leftover = l.pending
	}
	if l.change != nil {
		l.change.reply <- l.endErr
	}
	l.c.endErr = l.endErr
	l.setPhase(Ended, l.endErr)
	l.c.cancel()
	close(l.c.done)
}
