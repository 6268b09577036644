package client

import (
	"fmt"
	"time"

	"github.com/trivium-hub/trivium/transports/wire"
)

// Problem is why the hub refused something (RFC 9457).
type Problem = wire.Problem

// FinalError is why a client has ended by itself: trying again would not help.
type FinalError struct {
	Status int   // 400, 401, 403, or what else the last of Auto's transports answered; 0: nothing did
	Err    error // a *Problem if there was an answer
}

func (e *FinalError) Error() string {
	if e.Status == 0 {
		return fmt.Sprintf("client: %v", e.Err)
	}
	return fmt.Sprintf("client: refused with %d: %v", e.Status, e.Err)
}

// Unwrap gives Err.
func (e *FinalError) Unwrap() error { return e.Err }

// HandshakeError is an answer to a WebSocket's handshake that was none.
type HandshakeError struct {
	Response *Response // its body holds at most 64 KiB
}

func (e *HandshakeError) Error() string {
	return fmt.Sprintf("the handshake was answered with %d", e.Response.Status)
}

// CloseError is the end of a WebSocket.
type CloseError struct {
	Code   int // RFC 6455, section 7.4
	Reason string
}

func (e *CloseError) Error() string { return fmt.Sprintf("closed with %d %s", e.Code, e.Reason) }

// goawayError is why a client waits that was told to: the hub is about to end.
type goawayError struct{ retry time.Duration }

func (e *goawayError) Error() string { return "the hub is shutting down and asked to reconnect later" }
