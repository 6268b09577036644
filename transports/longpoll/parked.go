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

// idleTime is the time after which a parked connection without a poll is returned to its server, if
// the server has no IdleTimeout. Until then, the connection counts toward the limits of the last
// poll's token.
var idleTime = 5 * time.Second // tests change it before they call New

// pollConn is a parked connection, on which polls wait without a goroutine. It has these states:
//
//	state      | until                                              | then
//	waiting    | events, the end of the wait, lost rights, the peer | answering; waiting again if there
//	           | closes, a drain                                    | is nothing to answer
//	answering  | the answer is written                              | idle, closed or returned
//	idle       | the next request                                   | serving
//	           | idleTime                                           | returned
//	           | the server's IdleTimeout, a drain, the peer closes | closed
//	serving    | the request waits for events                       | waiting
//	           | the response is written                            | idle, closed or returned
//	           | the request cannot be served here                  | returned
//	closed     |                                                    |
//	returned   | the server has the connection                      |
//
// In the states answering and serving, one goroutine owns all fields that mu does not guard.
type pollConn struct {
	handler *Handler
	origin  origin

	mu       sync.Mutex // guards this group of fields and gone, and in the states waiting and idle all fields below
	parked   *connection.Parked
	queued   int32 // index in the queue of Handler.times, which guards it; placed here to save memory
	state    pollState
	armed    bool          // whether the poller will call Readable; if false, it has called Readable, and there may be unread input
	deadline time.Duration // end of the wait for events or for the next request, in the time of Handler.times
	called   time.Duration // time of the next call of onDeadline, which ignores calls before deadline; 0: none

	poll     poll            // current poll; zero in the states idle and serving
	response *response       // the response that is being written; nil unless the state is serving
	access   auth.Access     // access of the last poll; nil unless the state is idle
	notifier *notifier       // the auth.Holder of access
	current  *requestContext // context of the request; nil unless the state is serving
	gone     chan struct{}   // closed when the peer has closed the connection, by Abort, and at the end of the request; nil until peerGone is called

	base   *baseHeader // baseHeader of the last poll
	unread *[]byte     // input that net/http had read when the connection was hijacked; nil: none
}

// origin holds the data that is common to all requests of a connection.
type origin struct {
	server  *http.Server
	context context.Context // context of a new connection of the server, without http.LocalAddrContextKey
	peer    string          // Request.RemoteAddr
	path    string          // path of the polls; see rawPath
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

// pollConnOf returns the pollConn that serves a request, or nil if net/http serves it.
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

// isPlain reports whether a request has no body, and does not request to close the connection or to
// change the protocol.
func isPlain(r *http.Request) bool {
	if r.ContentLength != 0 || r.Close || len(r.TransferEncoding) > 0 || len(r.Header["Expect"]) > 0 || len(r.Header["Upgrade"]) > 0 {
		return false
	}
	connection := r.Header["Connection"]
	return len(connection) == 0 || len(connection) == 1 && strings.EqualFold(connection[0], "keep-alive")
}

// park hijacks the connection from net/http or from its pollConn, so that the poll waits without a
// goroutine. If the connection cannot be hijacked, it returns false and does nothing.
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
	// The values of r are not used, because a middleware may have changed RemoteAddr and the
	// context for this request.
	c := &pollConn{handler: h, state: answering}
	// unique.Make copies the path, so that the rest of the URL is not kept in memory.
	c.origin = origin{peer: conn.RemoteAddr().String(), path: unique.Make(rawPath(r)).Value()}
	c.origin.server, _ = r.Context().Value(http.ServerContextKey).(*http.Server)
	c.origin.context = h.shared.Registry.ConnContext(c.origin.server, conn)
	if n := buffered.Reader.Buffered(); n > 0 {
		unread, _ := buffered.Reader.Peek(n)
		unread = bytes.Clone(unread)
		c.unread = &unread
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

// take sets the current poll and starts to wait. mu must be held. The state is serving or
// answering, or closed if Abort was called.
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

// enter adds the connection to the registry. It returns false if the connection cannot be watched.
// mu must be held, and the state is answering.
func (c *pollConn) enter(conn net.Conn) bool {
	_ = conn.SetDeadline(time.Time{}) // if this fails, so does the next write
	c.parked = c.handler.shared.Registry.Park(conn, c.origin.server, c)
	c.armed = c.parked != nil
	return c.armed
}

// maxAloneWait is the longest wait of a poll whose connection could not be parked. It is short,
// because such a poll does not detect that the peer or the registry is closed.
const maxAloneWait = time.Second

// answerAlone answers the poll of a connection that could not be parked, and closes the connection.
func (c *pollConn) answerAlone(conn net.Conn) {
	defer conn.Close()
	c.poll.deadline = min(c.poll.deadline, c.handler.times.now()+maxAloneWait)
	c.answerOn(&response{conn: conn, header: c.base.fields.Clone(), server: c.origin.server, closing: true}, c.origin.context, false)
	c.handler.end(&c.poll)
}

// wait starts to wait for events. mu must be held.
func (c *pollConn) wait() {
	c.state = waiting
	c.signalGone() // ends the context of the request
	c.poll.notifier.parked.Store(c)
	c.poll.notifier.waker.Store(nil)
	c.setDeadline(c.poll.deadline - c.handler.times.now())
	switch {
	case c.isEnding(), c.lostRights(), c.poll.subscription.Behind(): // this happened before notifier.parked was set
		c.startAnswer()
	default:
		c.arm()
	}
}

func (c *pollConn) lostRights() bool {
	return c.poll.access.Grant().Authorize(c.poll.filters) != nil
}

// arm makes the poller call Readable for new input, and for input that was reported before but not
// read. mu must be held.
func (c *pollConn) arm() {
	if !c.armed {
		c.armed = true
		c.parked.Rearm()
	}
}

// setDeadline sets the time at which onDeadline ends the current state. If a call of onDeadline is
// scheduled for an earlier time, it is kept and later reschedules itself. Most polls then do not
// change the queue, because usually the next request arrives before that call. mu must be held.
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
	case c.state != waiting && c.state != idle: // the next state sets a deadline
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

// rightsChanged answers a poll that has lost its rights. A connection without a poll no longer
// counts toward the limits of its token, and is returned to its server.
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

// writeShared writes a shared answer. mu must be held, and the state is waiting.
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

// startAnswer starts a goroutine that answers the poll: with the available events, with a problem,
// or without events. mu must be held, and the state is waiting.
func (c *pollConn) startAnswer() {
	c.state = answering
	c.handler.shared.Registry.Go(c.answer)
}

// answer writes the answer to the poll. It runs in a goroutine of the registry, and the state is
// answering.
func (c *pollConn) answer() {
	w := c.newResponse(c.base.fields.Clone())
	if c.parked.PeerClosed() {
		w.closing = true
	}
	if w.closing {
		c.poll.deadline = c.handler.times.now()
	}
	answered := c.answerOn(w, &requestContext{Context: c.origin.context, conn: c}, true)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case answered || w.err != nil:
		c.endPoll()
		c.next(w.err != nil || w.closing)
	case c.state == closed: // Abort was called
		c.endPoll()
		c.close()
	default: // there was nothing to answer
		c.wait()
	}
}

// answerOn answers the poll on w, as the goroutine of a request would. If there is nothing to
// answer yet, it writes nothing and returns false.
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

// newResponse returns a response. The connection is closed after it if the hub drains, the server
// was closed, or the header requires it.
func (c *pollConn) newResponse(header http.Header) *response {
	return &response{conn: c.parked.Conn(), header: header, server: c.origin.server, closing: c.isEnding() || endsConnection(header)}
}
