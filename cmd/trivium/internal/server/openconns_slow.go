package server

import (
	"io"
	"net/http"

	"github.com/trivium-hub/trivium/auth"
)

// slowestAmong is the number of connections among which slowest chooses. These are the ones that have
// waited longest.
const slowestAmong = 16

// slowest returns the connection with an unfinished request that must be closed first, or nil if there
// is none. It considers the slowestAmong connections that have waited longest, and returns a connection
// of the sender that has the most unfinished requests. The caller holds mu.
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

// takeIdle is like takeOldest, but only for connections between two requests.
func (o *openConnections) takeIdle() *openConn {
	for queue := range unfinished {
		if front := o.waiting[queue].Front(); front != nil {
			return o.closeEarly(front.Value.(*openConn))
		}
	}
	return nil
}

// closeIdle closes the connection that has been idle longest, if there is one.
func (o *openConnections) closeIdle() {
	o.mu.Lock()
	c := o.takeIdle()
	o.mu.Unlock()
	if c != nil {
		closeAtOnce(c.conn)
	}
}

// trackServing marks the connection of each request as known. On the main listener, trackServing receives a
// request only if the request has a valid token or its route requires none. While next serves a request, the
// connection is not closed to make room, unless all requests on it wait for a part of their body.
func (o *openConnections) trackServing(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := o.connOf(r.Context())
		if c == nil { // a transport has hijacked the connection
			next.ServeHTTP(w, r)
			return
		}
		o.beginServing(c, auth.AccessFrom(r.Context()).Sender())
		var body *trackedBody
		if r.ContentLength != 0 {
			body = &trackedBody{ReadCloser: r.Body, open: o, conn: c}
			r.Body = body
		}
		// After a response over HTTP/1, net/http reads the part of the body that next has not read.
		defer func() { o.endServing(c, body != nil && !body.ended && r.ProtoMajor == 1) }()
		next.ServeHTTP(w, r)
	})
}

// beginServing adds one to the number of requests that are being served on a connection, and removes the
// connection from its queue. If the parameter sender is not "", it becomes the sender of the connection.
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

// endServing subtracts one from the number of requests that are being served on a connection, and adds the
// connection to a queue if the hub waits for the peer. The parameter unread is true if net/http may still
// wait for the rest of the request's body.
func (o *openConnections) endServing(c *openConn, unread bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	c.serving--
	o.requeue(c)
	if unread && c.element == nil && o.isTracked(c) {
		o.enqueue(c, unfinished)
	}
}

// addReceiving changes the number of requests on a connection that wait for a part of their body.
// The parameter requests is 1 when a request starts to wait, and -1 when it stops waiting.
func (o *openConnections) addReceiving(c *openConn, requests int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	c.receiving += requests
	o.requeue(c)
}

// requeue adds a connection to the queue unfinished if all requests on it wait for their bodies.
// Otherwise it removes the connection from its queue. The caller holds mu.
func (o *openConnections) requeue(c *openConn) {
	o.leaveQueue(c)
	if c.serving > 0 && c.receiving == c.serving && o.isTracked(c) {
		o.enqueue(c, unfinished)
	}
}

// isTracked reports whether a connection is still open, is not hijacked, and is not being closed to make room. The caller
// holds mu.
func (o *openConnections) isTracked(c *openConn) bool { return !c.closing && o.conns[c.conn] == c }

// trackedBody is a request's body that calls addReceiving before and after each read.
type trackedBody struct {
	io.ReadCloser
	open  *openConnections
	conn  *openConn
	ended bool // a read has returned an error, usually io.EOF
}

// Read implements io.Reader.
func (b *trackedBody) Read(p []byte) (int, error) {
	b.open.addReceiving(b.conn, 1)
	n, err := b.ReadCloser.Read(p)
	b.open.addReceiving(b.conn, -1)
	b.ended = b.ended || err != nil
	return n, err
}
