package client

import (
	"context"
	"io"
)

// Platform contains everything that differs between a Go program and a page: sending requests,
// opening WebSockets, and notifications that the network is back or the page is visible again.
// NewPlatform returns the platform for the system that the package is compiled for.
//
// Its methods must be safe for concurrent use.
type Platform interface {
	// Do sends a request and returns the answer, with any status, as soon as its header has
	// arrived. ctx also covers the body: when ctx ends, a blocked Read fails and the connection is
	// closed. The caller closes the body.
	Do(ctx context.Context, request *Request) (*Response, error)
	// Dial opens a WebSocket and offers the subprotocols. ctx covers only the handshake. If the
	// server refuses the handshake, the error is a *HandshakeError. In a page it is a different
	// error, because a page cannot see the answer.
	Dial(ctx context.Context, url string, protocols []string) (Socket, error)
	// Wakes returns a channel that receives a value when connections are probably dead or a retry
	// will probably succeed: the network is back, or the page is visible again or restored from the
	// browser's cache. The channel is nil on a platform without such notifications. stop ends the
	// notifications.
	Wakes() (wakes <-chan Wake, stop func())
}

// EventSourcer is implemented by platforms that have an EventSource, such as a browser.
type EventSourcer interface {
	// EventSource opens an EventSource. ctx applies to its whole life. If the connection is lost or
	// cannot be opened, and the EventSource will reconnect by itself, Next returns an event of type
	// "error", with no other member set. After the EventSource has closed and will not reconnect,
	// Next returns io.EOF. Each connection begins with a trivium.open event.
	EventSource(ctx context.Context, url string) (EventStream, error)
}

// EventStream reads the events of an EventSource.
type EventStream interface {
	// Next blocks until there is another event. Type is "" for an event without a name, and Topic
	// is never set. After an error, Next always returns the same error.
	Next(ctx context.Context) (SSEEvent, error)
	// Close closes the stream. A blocked Next then returns an error other than io.EOF.
	Close()
}

// SSEEvent is one event of an event stream.
type SSEEvent struct {
	ID    string // the ID of the last event that had one
	Type  string // empty if the event has no name
	Topic string // the field "topic", which only Trivium sends; always empty for an EventSource
	Data  string // lines joined by LF
}

// Request is an HTTP request.
type Request struct {
	Method, URL string
	Header      map[string]string
	Body        []byte // nil: no body
	// OwnURL is set if no other request has this URL. The request then need not bypass the
	// browser's cache.
	OwnURL bool
}

// Response is the answer to a Request.
type Response struct {
	Status int
	// Header returns the value of a header field. It returns "" if the field is absent, or if CORS
	// hides it from the page.
	Header func(name string) string
	Body   io.ReadCloser
}

// Socket is an open WebSocket. Only one goroutine at a time may call Read. The other methods are
// safe for concurrent use.
type Socket interface {
	// Read blocks until there is another text message. After a close frame, or an abnormal closure
	// (1006), the error is a *CloseError. After an error, Read always returns the same error.
	Read(ctx context.Context) ([]byte, error)
	// Write sends a text message. It may block until there is buffer space, but returns when ctx ends.
	Write(ctx context.Context, message []byte) error
	// Close sends a close frame with a code of RFC 6455, section 7.4, and closes the connection
	// without waiting for the peer's close frame. A blocked Read then returns.
	Close(code int, reason string)
}

// Wake is the reason for a wake-up.
type Wake int

// Reasons for a wake-up.
const (
	WakeVisible Wake = iota // the page is visible again: retry now
	WakeNetwork             // the network or the whole page was suspended: existing connections are dead
)
