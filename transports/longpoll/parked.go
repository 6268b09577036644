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

// idleTime is used if the server has no IdleTimeout. It is the time after which a parked connection
// without a poll is returned to its server. Until then, the connection counts toward the limits of the
// token of its last poll.
var idleTime = 5 * time.Second // tests change it before they call New

// pollConn is a parked connection, on which polls wait without a goroutine. It has these states:
//
//	state      | ends when                                          | next state
//	waiting    | events arrive, the wait ends, the token loses a    | answering, and then waiting again if
//	           | right, the peer closes, or the hub drains          | there is nothing to answer
//	answering  | the answer is written                              | idle, closed or returned
//	idle       | the next request arrives                           | serving
//	           | idleTime expires, or the token's rights change     | returned
//	           | the server's IdleTimeout expires, the hub drains,  | closed
//	           | or the peer closes                                 |
//	serving    | the request waits for events                       | waiting
//	           | the response is written                            | idle, closed or returned
//	           | the request cannot be served here                  | returned
//	closed     | never                                              |
//	returned   | never; the server has the connection               |
//
// In the states answering and serving, one goroutine owns all fields that mu does not guard.
type pollConn struct {
	handler *Handler
	origin  origin

	mu       sync.Mutex // guards this group of fields and gone; in the states waiting and idle, also all fields below
	parked   *connection.Parked
	queued   int32 // index in the queue of Handler.times; guarded by Handler.times.mu; placed here to save memory
	state    pollState
	armed    bool          // whether the poller will call Readable for input; if false, Readable was called, and there may be unread input
	deadline time.Duration // end of the wait for events or for the next request, as a duration since Handler.times.start
	called   time.Duration // time of the next call of onDeadline, at most deadline; 0: no call is scheduled

	poll     poll            // current poll; zero in the states idle and serving
	response *response       // the response that is being written; nil unless the state is serving
	access   auth.Access     // access of the last poll, which the idle connection still holds; nil unless the state is idle
	notifier *notifier       // the auth.Holder of access
	current  *requestContext // context of the request; nil unless the state is serving
	gone     chan struct{}   // see peerGone; nil until peerGone is called

	base   *baseHeader // baseHeader of the last poll's answer
	unread *[]byte     // input that net/http had read but not parsed before the hijack; nil: none
}

// origin contains what all requests of a connection have in common.
type origin struct {
	server  *http.Server
	context context.Context // see connection.Registry.ConnContext
	peer    string          // Request.RemoteAddr
	path    string          // path of the polls; see rawPath
}

// rawPath returns the path of a request as the client has sent it. It does not use Request.URL, from
// which http.StripPrefix removes a part.
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

// pollConnKey is the context key for the pollConn that serves a request.
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

// isPlain reports whether a request has no body, and asks neither to close the connection nor to change
// the protocol.
func isPlain(r *http.Request) bool {
	if r.ContentLength != 0 || r.Close || len(r.TransferEncoding) > 0 || len(r.Header["Expect"]) > 0 || len(r.Header["Upgrade"]) > 0 {
		return false
	}
	connection := r.Header["Connection"]
	return len(connection) == 0 || len(connection) == 1 && strings.EqualFold(connection[0], "keep-alive")
}

// park hijacks the connection of a request, so that the poll can wait without a goroutine. The
// connection is owned by net/http or already by a pollConn. If it cannot be hijacked, park returns false
// and does nothing.
func (h *Handler) park(w http.ResponseWriter, r *http.Request, p *poll) bool {
	conn, buffered, err := hijackParked(w)
	if err != nil {
		return false // a middleware's ResponseWriter has no method Hijack
	}
	if c := pollConnOf(r); c != nil {
		c.response.parked, c.response = true, nil
		c.mu.Lock()
		defer c.mu.Unlock()
		c.take(w.Header(), p)
		return true
	}
	// RemoteAddr and the context of r are not used, because a middleware may have changed them for this
	// request only.
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

// take makes c the owner of a poll and starts to wait for events. mu must be held. The state must be
// serving or answering, or closed if Abort was called.
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
// mu must be held, and the state must be answering.
func (c *pollConn) enter(conn net.Conn) bool {
	_ = conn.SetDeadline(time.Time{}) // if this fails, so does the next write
	c.parked = c.handler.shared.Registry.Park(conn, c.origin.server, c)
	c.armed = c.parked != nil
	return c.armed
}

// maxAloneWait is the maximum wait of a poll that answerAlone answers. It is short, because answerAlone
// does not detect that the peer closes the connection or that the registry is closed.
const maxAloneWait = time.Second

// answerAlone answers the poll of a connection that was hijacked but could not be parked, and then closes
// the connection.
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
	case c.isEnding(), c.lostRights(), c.poll.subscription.Behind(): // a notification before notifier.parked was set was lost
		c.startAnswer()
	default:
		c.arm()
	}
}

// lostRights reports whether the token no longer permits the poll.
func (c *pollConn) lostRights() bool {
	return c.poll.access.Grant().Authorize(c.poll.filters) != nil
}

// arm makes the poller call Readable when there is input, including input that the poller has reported
// before but that was not read. mu must be held.
func (c *pollConn) arm() {
	if !c.armed {
		c.armed = true
		c.parked.Rearm()
	}
}

// setDeadline makes onDeadline end the current state after the duration d. If a call of onDeadline is
// already scheduled for an earlier time, setDeadline does not change the schedule; the earlier call then
// schedules another one. Therefore most polls do not change the queue, because the next request usually
// arrives before the scheduled call. mu must be held.
func (c *pollConn) setDeadline(d time.Duration) {
	times := &c.handler.times
	c.deadline = max(times.now()+d, 1)
	if c.called == 0 || c.called > c.deadline {
		times.remove(c)
		times.add(c, c.deadline)
		c.called = c.deadline
	}
}

// onDeadline ends the wait for events or for the next request if the current time has reached c.deadline.
// Otherwise it schedules another call.
func (c *pollConn) onDeadline() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.called = 0
	switch left := c.deadline - c.handler.times.now(); {
	case c.state != waiting && c.state != idle: // the next state sets another deadline
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

// rightsChanged handles a change of the token's rights. If a waiting poll has lost its rights, it is
// answered. A connection without a poll stops counting toward the limits of the token, and is returned to
// its server.
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

// ready answers the waiting poll with the events of a batch.
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
		a := c.handler.answers.answerFor(c, b, start)
		if a == nil {
			c.startAnswer()
			return
		}
		c.writeShared(a)
	}
}

// writeShared writes a shared answer. mu must be held, and the state must be waiting.
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

// writeRest writes the rest of a shared answer. The parameter written is the number of bytes that the
// connection has already accepted.
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

// startAnswer starts a goroutine that answers the poll: with events, without events, or with a problem.
// mu must be held, and the state must be waiting.
func (c *pollConn) startAnswer() {
	c.state = answering
	c.handler.shared.Registry.Go(c.answer)
}

// answer writes the answer to the poll, or continues the wait if there is nothing to answer. It runs in a
// goroutine of the registry, and the state must be answering.
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
	default: // there was nothing to answer yet
		c.wait()
	}
}

// answerOn answers the poll on w with Handler.answerPoll. If there is nothing to answer yet and mayPark
// is set, it writes nothing and returns false.
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

// isEnding reports whether the connection may serve no more requests, because the hub drains or the
// server was closed.
func (c *pollConn) isEnding() bool {
	return c.handler.shared.Registry.IsDraining() || c.parked.ServerClosed()
}

// newResponse returns a response with the given header. The connection will be closed after the response
// if the hub drains, if the server was closed, or if the header contains Connection: close.
func (c *pollConn) newResponse(header http.Header) *response {
	return &response{conn: c.parked.Conn(), header: header, server: c.origin.server, closing: c.isEnding() || endsConnection(header)}
}
