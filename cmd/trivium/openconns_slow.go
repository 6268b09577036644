package main

import (
	"io"
	"net/http"

	"github.com/trivium-hub/trivium/auth"
)

// slowestAmong is how many of the connections that have been silent longest are compared when one of
// them has to be closed.
const slowestAmong = 16

// slowest returns the connection with an unfinished request that is to be closed first: of those that
// have been silent longest, one of the sender that has the most. It is called with mu held.
func (o *openConnections) slowest() *openConn {
	var slowest *openConn
	element := o.waiting[unfinished].Front()
	for range slowestAmong {
		if element == nil {
			break
		}
		c := element.Value.(*openConn)
		if slowest == nil || o.senders[c.sender] > o.senders[slowest.sender] {
			slowest = c
		}
		element = element.Next()
	}
	return slowest
}

// vouched notes for each request that reaches next that its connection has brought a token that
// is good, or that none is asked for. While next serves all such requests of a connection, it keeps
// its place, unless each of them waits for a part of its body.
func (o *openConnections) trackServing(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, ok := r.Context().Value(openConnKey{}).(*openConn)
		if !ok {
			next.ServeHTTP(w, r)
			return
		}
		var sender string
		if access := auth.AccessFrom(r.Context()); access != nil {
			sender = access.Sender()
		}
		o.beginServing(c, sender)
		var body *trackedBody
		if r.ContentLength != 0 {
			body = &trackedBody{ReadCloser: r.Body, open: o, conn: c}
			r.Body = body
		}
		// After an answer over HTTP/1, net/http reads what next has left of the body.
		defer func() { o.endServing(c, body != nil && !body.ended && r.ProtoMajor == 1) }()
		next.ServeHTTP(w, r)
	})
}

func (o *openConnections) beginServing(c *openConn, sender string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !c.known.Swap(true) {
		c.network.anonymous--
	}
	c.serving++
	o.leaveQueue(c)
	if sender != "" {
		c.sender = sender
	}
}

// endServing ends what beginServing began. A part of the request's body may be unread.
func (o *openConnections) endServing(c *openConn, unread bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	c.serving--
	o.requeue(c)
	if unread && c.element == nil && o.isTracked(c) {
		o.enqueue(c, unfinished)
	}
}

// await notes that a request begins to wait for a part of its body (1), or has waited (-1).
func (o *openConnections) addReceiving(c *openConn, requests int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	c.receiving += requests
	o.requeue(c)
}

// requeue has a connection among the unfinished if all requests on it wait for their bodies. It is
// called with mu held.
func (o *openConnections) requeue(c *openConn) {
	o.leaveQueue(c)
	if c.serving > 0 && c.receiving == c.serving && o.isTracked(c) {
		o.enqueue(c, unfinished)
	}
}

// keeps reports whether a connection counts: it is neither hijacked nor being closed.
func (o *openConnections) isTracked(c *openConn) bool { return !c.closing && o.conns[c.conn] == c }

// trackedBody is the body of a request that notes on its connection when it waits for the peer.
type trackedBody struct {
	io.ReadCloser
	open  *openConnections
	conn  *openConn
	ended bool // a read has returned an error, io.EOF as a rule
}

// Read implements io.Reader.
func (b *trackedBody) Read(p []byte) (int, error) {
	b.open.addReceiving(b.conn, 1)
	n, err := b.ReadCloser.Read(p)
	b.open.addReceiving(b.conn, -1)
	b.ended = b.ended || err != nil
	return n, err
}
