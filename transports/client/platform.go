package client

import (
	"context"
	"io"

	"github.com/trivium-hub/trivium/transports/wire"
)

// Platform is all that differs between a Go program and a page: how a request is sent, how a
// WebSocket is opened, and how one learns that the network or the person is back. NewPlatform
// makes that of the system the package is built for.
//
// Methods may be called from several goroutines at once.
type Platform interface {
	// Do sends a request and gives the answer as soon as its header is there, whatever its status.
	// ctx covers the body too: when it is done, a Read that waits ends with an error and the
	// connection is let go. The caller closes the body.
	Do(ctx context.Context, request *Request) (*Response, error)
	// Dial opens a WebSocket with the subprotocols offered; ctx covers the handshake alone. An
	// answer that is no handshake is a *HandshakeError where the platform can see it; a page can't,
	// and has another error.
	Dial(ctx context.Context, url string, protocols []string) (Socket, error)
	// Wakes gives a channel that gets a value when it is likely that connections are dead or that
	// trying again helps: the network is back, the page is visible again or was taken out of the
	// browser's cache. It is nil where nothing tells. stop ends it.
	Wakes() (wakes <-chan Wake, stop func())
}

// EventSourcer is a Platform that has an EventSource of its own, as browsers do.
type EventSourcer interface {
	// EventSource opens one; ctx is for its whole life. The error of Next is io.EOF when it has
	// ended for good; that it reconnects by itself shows as another trivium.open.
	EventSource(ctx context.Context, url string) (EventStream, error)
}

// EventStream gives the events of an EventSource.
type EventStream interface {
	// Next waits for the next event; of one without a name the type is "", and no topic is set. The
	// error stays.
	Next(ctx context.Context) (wire.SSEEvent, error)
	// Close ends it, and a Next that waits.
	Close()
}

// Request is an HTTP request.
type Request struct {
	Method, URL string
	Header      map[string]string
	Body        []byte // nil: none
	// OwnURL means that nobody else requests this URL, so that a browser need not be told to keep the
	// request from its cache.
	OwnURL bool
}

// Response is the answer to one.
type Response struct {
	Status int
	// Header gives a field's value, "" if it is absent or hidden from the page (CORS).
	Header func(name string) string
	Body   io.ReadCloser
}

// Socket is an open WebSocket. Read is called by one goroutine at a time, the others by any.
type Socket interface {
	// Read waits for the next text message. After the peer's close frame, or one that the platform
	// made up (1006), the error is a *CloseError. The error stays.
	Read(ctx context.Context) ([]byte, error)
	// Write sends a text message. ctx bounds how long it waits for room.
	Write(ctx context.Context, message []byte) error
	// Close says goodbye with a code of RFC 6455, section 7.4, without waiting for the peer's, and
	// lets the connection go. A Read that waits ends.
	Close(code int, reason string)
}

// Wake says why one should look after the connections.
type Wake int

// The kinds of Wake.
const (
	WakeVisible Wake = iota // the person is back: waiting for the next try is over
	WakeNetwork             // the network, or the whole page, was away: connections are dead
)
