package longpoll

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
	"unique"

	"github.com/trivium-hub/trivium/auth"
	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/internal/connection"
)

// idleTime is how long a connection stays parked without a poll before its server gets it back, if the server has no
// IdleTimeout. Until then it counts as a connection of the token that polled last.
var idleTime = 5 * time.Second // changed by tests before they call New

// pollConn is a parked connection: one on which polls wait without a goroutine. Its states:
//
//	state      | until                                              | then
//	waiting    | events, the wait, lost rights, a closing peer, a   | answering; waiting again if there
//	           | drain                                              | was nothing to answer
//	answering  | the answer is written                              | idle, closed or returned
//	idle       | the next request                                   | serving
//	           | idleTime                                           | returned
//	           | the server's IdleTimeout, a drain, a closing peer  | closed
//	serving    | the request waits for events                       | waiting
//	           | the response is written                            | idle, closed or returned
//	           | it is not a poll, or has no plain form             | returned
//	closed     |                                                    |
//	returned   | the server has the connection                      |
//
// In the states answering and serving, one goroutine owns all fields but those that mu guards.
type pollConn struct {
	handler *Handler
	origin  origin

	mu       sync.Mutex // guards the fields below
	parked   *connection.Parked
	state    pollState
	armed    bool          // the poller will call Readable; if not, it has, and the input may not have been read
	deadline time.Duration // of the wait or of the next request, as Handler.times counts
	called   time.Duration // when onDeadline will be called, which ignores calls before deadline; 0: never

	poll     poll            // the current poll; zero in the states idle and serving
	response *response       // in the state serving
	access   auth.Access     // in the state idle, of the last poll
	notifier *notifier       // with access
	current  *requestContext // in the state serving
	gone     chan struct{}   // closed when the peer has closed, by Abort, and at the end of the request; nil: nobody waits for that

	base   *baseHeader // part of the response header that does not depend on the answer; of the last poll
	unread []byte      // input that net/http had read before it gave the connection away

	queued int32 // guarded by Handler.times
}

// origin is what the requests of a connection have in common.
type origin struct {
	server  *http.Server
	context context.Context // as a new connection of the server has, without http.LocalAddrContextKey
	peer    string          // Request.RemoteAddr
	path    string          // of the polls; see rawPath
}

// rawPath returns the path of a request as the client sent it: a handler that is mounted under a
// prefix has a shorter Request.URL.
func rawPath(r *http.Request) string {
	path, _, _ := strings.Cut(r.RequestURI, "?")
	return path
}

// pollState is the state of a pollConn.
type pollState uint8

const (
	waiting pollState = iota
	answering
	idle
	serving
	closed
	returned
)

// pollConnKey is the context key of a request that a pollConn serves.
type pollConnKey struct{}

// pollConnOf returns the pollConn that serves a request; nil if net/http does.
func pollConnOf(r *http.Request) *pollConn {
	c, _ := r.Context().Value(pollConnKey{}).(*pollConn)
	return c
}

// canPark reports whether the connection of a request can be parked while the request waits.
func (h *Handler) canPark(r *http.Request) bool {
	if pollConnOf(r) != nil {
		return true
	}
	server, _ := r.Context().Value(http.ServerContextKey).(*http.Server)
	return server != nil && isPlain(r) && h.shared.Registry.CanPark(r)
}

// isPlain reports whether a request has no body and ends neither its connection nor its protocol.
func isPlain(r *http.Request) bool {
	if r.ContentLength != 0 || r.Close || len(r.TransferEncoding) > 0 || len(r.Header["Expect"]) > 0 || len(r.Header["Upgrade"]) > 0 {
		return false
	}
	connection := r.Header["Connection"]
	return len(connection) == 0 || len(connection) == 1 && strings.EqualFold(connection[0], "keep-alive")
}

// park takes the connection over from net/http or from its pollConn and lets the poll wait without a
// goroutine. It reports false, and has done nothing, if the connection cannot be taken over.
func (h *Handler) park(w http.ResponseWriter, r *http.Request, p *poll) bool {
	conn, buffered, err := hijackParked(w)
	if err != nil {
		return false // a middleware hides the connection
	}
	if c := pollConnOf(r); c != nil {
		c.response.parked, c.response = true, nil
		c.mu.Lock()
		defer c.mu.Unlock()
		c.take(w.Header(), p)
		return true
	}
	// RemoteAddr and the context of r may have been changed by a middleware, for r alone.
	c := &pollConn{handler: h, state: answering}
	c.origin = origin{peer: conn.RemoteAddr().String(), path: unique.Make(rawPath(r)).Value()} // without the rest of the URL
	c.origin.server, _ = r.Context().Value(http.ServerContextKey).(*http.Server)
	c.origin.context = h.shared.Registry.ConnContext(c.origin.server, conn)
	if n := buffered.Reader.Buffered(); n > 0 {
		unread, _ := buffered.Reader.Peek(n)
		c.unread = bytes.Clone(unread)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.enter(conn) {
		c.take(w.Header(), p)
		return true
	}
	p.parked = true
	c.poll, c.base = *p, h.intern(w.Header(), nil)
	h.shared.Registry.Go(func() { c.answerAlone(conn) })
	return true
}

// take makes p the current poll and begins to wait. Called with mu held, in the states serving and
// answering, or closed by Abort.
func (c *pollConn) take(header http.Header, p *poll) {
	p.parked = true
	c.poll, c.base = *p, c.handler.intern(header, c.base)
	if c.state == closed {
		c.endPoll()
		c.close()
		return
	}
	c.wait()
}

// enter makes the connection a member of the registry. It reports false if the connection cannot be
// watched. Called with mu held, in the state answering.
func (c *pollConn) enter(conn net.Conn) bool {
	_ = conn.SetDeadline(time.Time{}) // if this fails, so does the next write
	c.parked = c.handler.shared.Registry.Park(conn, c.origin.server, c)
	c.armed = c.parked != nil
	return c.armed
}

// maxAloneWait is the longest wait of a poll whose connection could not be parked. It is short, because nothing notices
// that the peer has closed, or that the registry is being closed.
const maxAloneWait = time.Second

// answerAlone answers the poll of a connection that could not be parked, and closes the connection.
func (c *pollConn) answerAlone(conn net.Conn) {
	defer conn.Close()
	if latest := time.Now().Add(maxAloneWait); c.poll.deadline.After(latest) {
		c.poll.deadline = latest
	}
	c.answerOn(&response{conn: conn, header: c.base.fields.Clone(), server: c.origin.server, closing: true}, c.origin.context, false)
	c.handler.end(&c.poll)
}

// wait begins to wait for events. Called with mu held.
func (c *pollConn) wait() {
	c.state = waiting
	c.signalGone() // ends the context of the request
	c.poll.notifier.parked.Store(c)
	c.poll.notifier.waker.Store(nil)
	c.setDeadline(time.Until(c.poll.deadline))
	switch {
	case c.isEnding(), c.lostRights(), c.poll.subscription.Behind(): // before notifier.parked was set
		c.startAnswer()
	default:
		c.arm()
	}
}

func (c *pollConn) lostRights() bool {
	return c.poll.access.Grant().Authorize(c.poll.filters) != nil
}

// arm makes the poller call Readable for input, also for input that it has reported before. Called
// with mu held.
func (c *pollConn) arm() {
	if !c.armed {
		c.armed = true
		c.parked.Rearm()
	}
}

// setDeadline makes onDeadline end the state after d. A call that was planned for an earlier time stays, and plans the one
// for this deadline: usually the next request comes before, so that nothing need be changed for each poll. Called with mu
// held.
func (c *pollConn) setDeadline(d time.Duration) {
	times := &c.handler.times
	c.deadline = max(times.now()+d, 1)
	if c.called == 0 || c.called > c.deadline {
		times.remove(c)
		times.add(c, c.deadline)
		c.called = c.deadline
	}
}

// onDeadline ends the wait for events or for the next request.
func (c *pollConn) onDeadline() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.called = 0
	switch left := c.deadline - c.handler.times.now(); {
	case c.state != waiting && c.state != idle: // the next state sets the deadline
	case left > 0:
		c.setDeadline(left)
	case c.state == waiting:
		c.startAnswer()
	case c.state == idle && c.origin.server.IdleTimeout > 0:
		c.close()
	case c.state == idle:
		c.giveBack(nil)
	}
}

// rightsChanged answers a poll that has lost its rights. Without a poll, the connection has lost its place, and goes back
// to its server.
func (c *pollConn) rightsChanged(n *notifier) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.state == waiting && c.poll.notifier == n && c.lostRights():
		c.startAnswer()
	case c.state == idle && c.notifier == n:
		c.giveBack(nil)
	}
}

// ready answers with the events of a batch.
func (c *pollConn) ready(n *notifier, b *hub.Batch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != waiting || c.poll.notifier != n {
		return
	}
	start, ok := c.poll.subscription.Offset(b)
	switch {
	case !ok, c.isEnding(), c.base.closes:
		c.startAnswer()
	case start == len(b.Events):
		c.poll.subscription.Advance(b.To)
	default:
		a := c.handler.answers.of(c, b, start)
		if a == nil {
			c.startAnswer()
			return
		}
		c.writeShared(a)
	}
}

// writeShared writes an answer. Called with mu held, in the state waiting.
func (c *pollConn) writeShared(a *sharedAnswer) {
	c.state = answering
	n, err := c.parked.TryWrite(a.bytes)
	switch {
	case err != nil:
		c.endPoll()
		c.close()
	case n < len(a.bytes):
		c.handler.shared.Registry.Go(func() { c.writeRest(a, n) })
	default:
		c.countAnswer(a)
		c.endPoll()
		c.next(false)
	}
}

// writeRest writes the part of an answer that the connection did not accept at once.
func (c *pollConn) writeRest(a *sharedAnswer, written int) {
	_, err := c.parked.Write(a.bytes[written:])
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		c.countAnswer(a)
	}
	c.endPoll()
	c.next(err != nil)
}

func (c *pollConn) countAnswer(a *sharedAnswer) {
	c.handler.countAnswer(c.poll.record, len(a.events), a.length)
}

// startAnswer answers the poll in a goroutine: with what there is to read, with a problem, or with
// no events. Called with mu held, in the state waiting.
func (c *pollConn) startAnswer() {
	c.state = answering
	c.handler.shared.Registry.Go(c.answer)
}

// answer runs in a goroutine of the registry, in the state answering.
func (c *pollConn) answer() {
	w := c.newResponse(c.base.fields.Clone())
	if c.parked.PeerClosed() {
		w.closing = true
	}
	if w.closing {
		c.poll.deadline = time.Now()
	}
	answered := c.answerOn(w, &requestContext{Context: c.origin.context, conn: c}, true)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case answered || w.err != nil:
		c.endPoll()
		c.next(w.err != nil || w.closing)
	case c.state == closed: // by Abort
		c.endPoll()
		c.close()
	default: // woken for nothing
		c.wait()
	}
}

// answerOn answers the poll on w as the goroutine of a request would, in a context. It reports false, and has
// written nothing, if there is nothing to answer yet.
func (c *pollConn) answerOn(w *response, ctx context.Context, mayPark bool) (answered bool) {
	a := c.handler.getWaker()
	defer c.handler.wakers.Put(a)
	n := c.poll.notifier
	n.waker.Store(a)
	n.parked.Store(nil)
	defer n.waker.Store(nil)
	r := (&http.Request{Method: http.MethodGet, ProtoMajor: 1, ProtoMinor: 1}).WithContext(ctx)
	w.run(func() bool {
		answered = c.handler.answerPoll(w, r, &c.poll, a, mayPark)
		return answered
	})
	return answered
}

// isEnding reports whether the connection serves no more requests: the hub drains, or the server was closed.
func (c *pollConn) isEnding() bool {
	return c.handler.shared.Registry.IsDraining() || c.parked.ServerClosed()
}

// newResponse returns a response. The connection ends with it if the hub drains, the server was closed, or the header
// says so.
func (c *pollConn) newResponse(header http.Header) *response {
	return &response{conn: c.parked.Conn(), header: header, server: c.origin.server, closing: c.isEnding() || endsConnection(header)}
}
