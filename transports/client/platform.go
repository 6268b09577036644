package client

import (
	"context"
	"io"
)

// Platform is everything that differs between a Go program and a page: sending requests, opening WebSockets, and
// learning that the network or the user is back. NewPlatform returns the one of the system that the package is
// built for.
//
// Its methods must be safe for concurrent use.
type Platform interface {
	// Do sends a request and returns the answer as soon as its header has arrived, whatever its status. ctx
	// covers the body too: when ctx is done, a blocked Read fails and the connection is closed. The caller
	// closes the body.
	Do(ctx context.Context, request *Request) (*Response, error)
	// Dial opens a WebSocket and offers the subprotocols. ctx covers the handshake only. If the server refuses
	// the handshake, the error is a *HandshakeError on platforms that see the answer; pages do not.
	Dial(ctx context.Context, url string, protocols []string) (Socket, error)
	// Wakes returns a channel that receives a value when connections are likely dead or a retry is likely to
	// succeed: the network is back, or the page is visible again or restored from the browser's cache. The
	// channel is nil if the platform reports nothing. stop ends the reports.
	Wakes() (wakes <-chan Wake, stop func())
}

// EventSourcer is implemented by a Platform with an EventSource, such as a browser's.
type EventSourcer interface {
	// EventSource opens an EventSource. ctx covers its whole life. When the connection is lost or cannot be
	// opened, and the EventSource will reconnect by itself, Next returns an event of type "error", with no other
	// member set. Next returns io.EOF after the EventSource has closed for good. Each connection begins with a
	// trivium.open event.
	EventSource(ctx context.Context, url string) (EventStream, error)
}

// EventStream reads the events of an EventSource.
type EventStream interface {
	// Next blocks until the next event. Type is "" for an event without a name, and Topic is never set. After an
	// error, Next returns the same error again.
	Next(ctx context.Context) (SSEEvent, error)
	// Close closes the stream and ends a blocked Next.
	Close()
}

// SSEEvent is one event of an event stream.
type SSEEvent struct {
	ID    string // the last event ID; an event without an id field inherits it
	Type  string // empty if the event has no name
	Topic string // the field topic of Trivium; empty if absent, as always from an EventSource
	Data  string // lines joined by LF
}

// Request is an HTTP request.
type Request struct {
	Method, URL string
	Header      map[string]string
	Body        []byte // nil means none
	// OwnURL reports whether no other request uses this URL. The browser's cache then needs no bypass.
	OwnURL bool
}

// Response is the answer to a Request.
type Response struct {
	Status int
	// Header returns a field's value, or "" if it is absent or hidden from the page by CORS.
	Header func(name string) string
	Body   io.ReadCloser
}

// Socket is an open WebSocket. Read is called by one goroutine at a time; the other methods are safe for
// concurrent use.
type Socket interface {
	// Read blocks until the next text message. After a close frame, or an abnormal closure (1006), the error is
	// a *CloseError. After an error, Read returns the same error again.
	Read(ctx context.Context) ([]byte, error)
	// Write sends a text message. ctx bounds the wait for buffer space.
	Write(ctx context.Context, message []byte) error
	// Close sends a close frame with a code of RFC 6455, section 7.4, and closes the connection without waiting
	// for the peer's close frame. A blocked Read ends.
	Close(code int, reason string)
}

// Wake is the reason for a wake-up.
type Wake int

// The kinds of Wake.
const (
	WakeVisible Wake = iota // the user is back: retry now
	WakeNetwork             // the network or the whole page was suspended: existing connections are dead
)
