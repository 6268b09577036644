package client

import (
	"fmt"
	"time"

	"github.com/trivium-hub/trivium/transports/problems"
)

// Problem is a refusal by the hub (RFC 9457).
type Problem = problems.Problem

// FinalError is the error of a client that has ended because no retry would help.
type FinalError struct {
	Status int   // HTTP status of the last answer, such as 400, 401 or 403; 0 if there was no answer
	Err    error // a *Problem if there was an answer
}

func (e *FinalError) Error() string {
	if e.Status == 0 {
		return fmt.Sprintf("client: %v", e.Err)
	}
	return fmt.Sprintf("client: refused with %d: %v", e.Status, e.Err)
}

// Unwrap returns Err.
func (e *FinalError) Unwrap() error { return e.Err }

// HandshakeError is the error of a WebSocket handshake that the server refused with an HTTP status.
type HandshakeError struct {
	Response *Response // the body is truncated at 64 KiB
}

func (e *HandshakeError) Error() string {
	return fmt.Sprintf("the server refused the WebSocket handshake with status %d", e.Response.Status)
}

// CloseError reports that the peer has closed a WebSocket.
type CloseError struct {
	Code   int // RFC 6455, section 7.4
	Reason string
}

func (e *CloseError) Error() string { return fmt.Sprintf("closed with %d %s", e.Code, e.Reason) }

// goawayError reports that the hub is shutting down and has requested a wait of retry before the next
// connection.
type goawayError struct{ retry time.Duration }

func (e *goawayError) Error() string { return "the hub is shutting down and asked to reconnect later" }
