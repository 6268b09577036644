package longpoll

import (
	"bufio"
	"bytes"
	"errors"
	"net/http"
	"sync"

	"golang.org/x/net/http/httpguts"

	"github.com/trivium-hub/trivium/transports/internal/connection"
)

// maxRequest limits the size of a request that is served on a parked connection, in bytes. If a larger
// request arrives, the connection is returned to its server.
const maxRequest = 4 << 10

// requestReader holds the input of a connection, and parses one request from it.
type requestReader struct {
	input  [maxRequest]byte
	source bytes.Reader  // reads input
	parser *bufio.Reader // reads source
}

// errNoInput is the error of readRequest if no input has arrived.
var errNoInput = errors.New("no input")

var requestReaders = sync.Pool{New: func() any {
	r := new(requestReader)
	r.parser = bufio.NewReaderSize(&r.source, maxRequest)
	return r
}}

// Readable implements connection.Reader.
func (c *pollConn) Readable(connection.TryReader) {
	c.mu.Lock()
	c.armed = false
	switch c.state {
	case waiting:
		if c.parked.PeerClosed() {
			c.startAnswer()
		}
	case answering, serving:
		if c.parked.PeerClosed() {
			c.signalGone()
		}
	case idle:
		c.state = serving
		c.mu.Unlock()
		c.serveNext()
		return
	}
	c.mu.Unlock()
}

// serveNext serves the next request if it is a plain poll. If it is any other request, serveNext returns
// the connection to its server. The state must be serving.
func (c *pollConn) serveNext() {
	r, input, err := c.readRequest()
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err == errNoInput:
		c.next(false)
	case c.state == closed, err != nil:
		c.next(true)
	case r == nil:
		c.giveBack(input)
	default:
		c.releaseAccess() // the request acquires access itself
		c.current, _ = r.Context().(*requestContext)
		c.mu.Unlock()
		c.serve(r)
		c.mu.Lock()
	}
}

// readRequest returns the next request if it can be served on the parked connection, otherwise a copy of
// the input.
func (c *pollConn) readRequest() (r *http.Request, input []byte, err error) {
	reader := requestReaders.Get().(*requestReader)
	defer requestReaders.Put(reader)
	n, err := c.parked.TryRead(reader.input[:])
	switch {
	case err != nil:
		return nil, nil, err
	case n == 0:
		return nil, nil, errNoInput
	}
	input = reader.input[:n]
	if couldBePoll(input) {
		if r = c.parse(reader, n); r != nil {
			return r, nil, nil
		}
	}
	return nil, bytes.Clone(input), nil
}

// couldBePoll reports whether the input may be one complete poll request. It does not parse the input.
func couldBePoll(input []byte) bool {
	return len(input) < maxRequest && bytes.HasPrefix(input, []byte("GET /")) && bytes.HasSuffix(input, []byte("\r\n\r\n")) && hostLines(input) == 1
}

// parse returns the request in the first n bytes of the reader's input if it can be served on the parked
// connection. It must be a complete poll that net/http would accept, and no bytes may follow it.
// Otherwise parse returns nil.
func (c *pollConn) parse(reader *requestReader, n int) *http.Request {
	reader.source.Reset(reader.input[:n])
	reader.parser.Reset(&reader.source)
	r, err := http.ReadRequest(reader.parser)
	if err != nil || reader.parser.Buffered()+reader.source.Len() > 0 {
		return nil
	}
	if r.ProtoMajor != 1 || r.ProtoMinor != 1 || !isPlain(r) || rawPath(r) != c.origin.path {
		return nil
	}
	if r.Host == "" || !httpguts.ValidHostHeader(r.Host) || !validHeader(r.Header) {
		return nil
	}
	r.RemoteAddr = c.origin.peer
	return r.WithContext(&requestContext{Context: c.origin.context, conn: c})
}

// hostLines returns the number of Host lines in a header. The lines must be counted before the request is
// parsed, because http.ReadRequest ignores all Host lines except the first.
func hostLines(header []byte) (n int) {
	for line := range bytes.SplitSeq(header, []byte("\r\n")) {
		if name, _, ok := bytes.Cut(line, []byte(":")); ok && bytes.EqualFold(name, []byte("Host")) {
			n++
		}
	}
	return n
}

// validHeader reports whether the server of net/http would accept the header.
func validHeader(header http.Header) bool {
	for name, values := range header {
		if !httpguts.ValidHeaderFieldName(name) {
			return false
		}
		for _, value := range values {
			if !httpguts.ValidHeaderFieldValue(value) {
				return false
			}
		}
	}
	return true
}

// serve passes a request to the handler of the connection's server, including its middleware.
func (c *pollConn) serve(r *http.Request) {
	handler := c.origin.server.Handler
	if handler == nil {
		handler = http.DefaultServeMux
	}
	w := c.newResponse(make(http.Header))
	c.response = w
	w.run(func() bool {
		handler.ServeHTTP(w, r)
		return true
	})
	if w.parked {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.response = nil
	if w.hijacked && c.state != closed { // another handler has hijacked the connection and must close it
		c.signalGone()
		c.leave(returned)
		c.parked.Leave(nil)
		return
	}
	c.next(w.err != nil || w.closing)
}

// endUnparked ends a poll that was served on the parked connection without waiting. The connection
// continues to count toward the limits of its token.
func (c *pollConn) endUnparked(p *poll) {
	c.mu.Lock()
	c.keepAccess(p)
	c.mu.Unlock()
	c.handler.end(p)
}
