// Package problems contains the errors with which the hub answers requests, in the format of RFC 9457.
//
//	p := problems.Of(err)               // nil for nil
//	transports.WriteProblem(w, r, p)    // {"type":"urn:trivium:problem:invalid-parameter","title":…}
//
// Of converts errors of package hub to problems. docs/protocol.md#errors lists the codes of problems.
// The package does no I/O and starts no goroutine; its functions are safe for concurrent use. It does
// not import net/http, which would enlarge the client for browsers.
package problems

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/trivium-hub/trivium/hub"
)

// Codes of problems. The type of a problem is URN followed by its code. Codes must not change, because
// clients compare them.
const (
	CodeBadRequest           = "bad-request"
	CodeInvalidParameter     = "invalid-parameter"
	CodeMissingToken         = "missing-token"
	CodeInvalidToken         = "invalid-token"
	CodeTokenEnded           = "token-ended"
	CodeForbidden            = "forbidden"
	CodeForeignOrigin        = "foreign-origin"
	CodeNotFound             = "not-found"
	CodeMethodNotAllowed     = "method-not-allowed"
	CodeTooSlow              = "too-slow"
	CodeRequestTimeout       = "request-timeout"
	CodeKeyBusy              = "idempotency-key-busy"
	CodeTooLarge             = "too-large"
	CodeUnsupportedMediaType = "unsupported-media-type"
	CodeMisdirectedHost      = "misdirected-host"
	CodeKeyReused            = "idempotency-key-reused"
	CodeUpgradeRequired      = "upgrade-required"
	CodeRateLimited          = "rate-limited"
	CodeHeaderTooLarge       = "header-too-large"
	CodeTooManyTries         = "too-many-tries"
	CodeInternal             = "internal"
	CodeUnavailable          = "unavailable"
	CodeKeysFull             = "idempotency-keys-full"
	CodeTooManyConnections   = "too-many-connections"
	CodeDraining             = "draining"
)

// URN is the prefix of every problem's type.
const URN = "urn:trivium:problem:"

// ContentType is the media type of a problem (RFC 9457, section 3).
const ContentType = "application/problem+json"

// Default retry delays.
const (
	retryUnavailable = 2 * time.Second
	retryKeysFull    = 10 * time.Second // idempotency keys expire after two minutes, so some usually expire within this time
)

// Problem is an error in the format of RFC 9457.
type Problem struct {
	Code      string // one of the codes above
	Title     string // short description of the code; equal for all problems with the same code
	Status    int    // HTTP status
	Detail    string // description of the fault and of the expected input; optional
	Parameter string // name of the invalid parameter; optional
	Line      *int   // number of the refused line of NDJSON, counted from 1; optional
	Accepted  *int   // number of accepted lines before the refused line; optional

	// RetryAfter is the delay after which the client should retry; 0: the client should not retry. It
	// is not a member of the JSON, but is sent as the header Retry-After or as the SSE field retry.
	RetryAfter time.Duration
}

// Error returns the title and, if there is one, the detail.
func (p *Problem) Error() string {
	if p.Detail == "" {
		return p.Title
	}
	return p.Title + ": " + p.Detail
}

// Temporary reports whether the same request may succeed later.
func (p *Problem) Temporary() bool {
	switch p.Status {
	case 408, 429, 503:
		return true
	}
	return false
}

// CloseCode returns the problem's WebSocket close code (docs/protocol.md#close-codes).
func (p *Problem) CloseCode() int {
	switch p.Code {
	case CodeDraining:
		return 1001
	case CodeRateLimited:
		return 1008
	}
	switch p.Status {
	case 401, 403, 408:
		return 4000 + p.Status
	case 413:
		return 1009
	case 429, 503:
		return 1013
	}
	if p.Status >= 500 {
		return 1011
	}
	return 4400
}

// Of converts an error to a problem. If err is nil, it returns nil. Of recognizes errors that wrap a
// *Problem, errors of package hub, and errors of contexts. It converts any other error to "Internal
// error" without a detail, because the text of the error may be confidential. The caller may change the
// result.
func Of(err error) *Problem {
	if err == nil {
		return nil
	}
	if p, ok := errors.AsType[*Problem](err); ok {
		own := *p
		return &own
	}
	if invalid, ok := errors.AsType[*hub.InvalidError](err); ok {
		if invalid.TooLarge {
			return TooLarge(invalid.Parameter, invalid.Detail)
		}
		return BadParameter(invalid.Parameter, invalid.Detail)
	}
	switch {
	case errors.Is(err, hub.ErrNoEvent):
		return &Problem{Code: CodeNotFound, Title: "Not found", Status: 404, Detail: err.Error()}
	case errors.Is(err, hub.ErrKeyInUse):
		return &Problem{Code: CodeKeyBusy, Title: "Idempotency key busy", Status: 409, Detail: hub.ErrKeyInUse.Error()}
	case errors.Is(err, hub.ErrKeyReused):
		return &Problem{Code: CodeKeyReused, Title: "Idempotency key reused", Status: 422, Detail: hub.ErrKeyReused.Error()}
	case errors.Is(err, hub.ErrKeysFull):
		return &Problem{
			Code: CodeKeysFull, Title: "Too many idempotency keys", Status: 503,
			Detail: err.Error(), RetryAfter: retryKeysFull,
		}
	case errors.Is(err, hub.ErrOverloaded):
		return Unavailable(hub.ErrOverloaded.Error())
	case errors.Is(err, hub.ErrUnavailable):
		return Unavailable(hub.ErrUnavailable.Error())
	case errors.Is(err, hub.ErrClosed):
		return Unavailable(hub.ErrClosed.Error())
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return Unavailable("the request did not complete in time")
	}
	return &Problem{Code: CodeInternal, Title: "Internal error", Status: 500}
}

// Unavailable returns the problem for a temporary failure. detail describes the failure.
func Unavailable(detail string) *Problem {
	return &Problem{
		Code: CodeUnavailable, Title: "Unavailable", Status: 503,
		Detail: detail, RetryAfter: retryUnavailable,
	}
}

// BadRequest returns the problem for an invalid request whose fault is not in a single parameter.
func BadRequest(detail string) *Problem {
	return &Problem{Code: CodeBadRequest, Title: "Bad request", Status: 400, Detail: detail}
}

// BadParameter returns the problem for an invalid parameter. detail describes the expected value.
func BadParameter(name, detail string) *Problem {
	return &Problem{
		Code: CodeInvalidParameter, Title: "Invalid parameter", Status: 400,
		Detail: name + ": " + detail, Parameter: name,
	}
}

// MissingToken returns the problem for a request without the required token. The header
// WWW-Authenticate then has no error attribute (RFC 6750, section 3.1).
func MissingToken() *Problem {
	return &Problem{
		Code: CodeMissingToken, Title: "Token missing", Status: 401,
		Detail: "a token is required: Authorization: Bearer, or the parameter access_token where no header can be set",
	}
}

// InvalidToken returns the problem for an invalid token.
func InvalidToken(detail string) *Problem {
	return &Problem{Code: CodeInvalidToken, Title: "Token refused", Status: 401, Detail: detail}
}

// TokenEnded returns the problem for a token that expired or was revoked while it was in use.
func TokenEnded() *Problem {
	return &Problem{
		Code: CodeTokenEnded, Title: "Token ended", Status: 401,
		Detail: "the token has expired or was revoked",
	}
}

// Forbidden returns the problem for a request for which the token has no right. The token may have had
// the right before.
func Forbidden(detail string) *Problem {
	return &Problem{Code: CodeForbidden, Title: "Forbidden", Status: 403, Detail: detail}
}

// ForeignOrigin returns the problem for a request from a page of another origin. detail contains the
// origins that were compared.
func ForeignOrigin(detail string) *Problem {
	return &Problem{Code: CodeForeignOrigin, Title: "Foreign origin", Status: 403, Detail: detail}
}

// NotFound returns the problem for an unknown path.
func NotFound() *Problem {
	return &Problem{Code: CodeNotFound, Title: "Not found", Status: 404, Detail: "this path does not exist; / lists the routes"}
}

// MethodNotAllowed returns the problem for a method that the route does not support. allowed is the
// value of the header Allow.
func MethodNotAllowed(allowed string) *Problem {
	return &Problem{Code: CodeMethodNotAllowed, Title: "Method not allowed", Status: 405, Detail: "allowed here: " + allowed}
}

// TooSlow returns the problem for a subscriber that is disconnected because it fell behind retention.
func TooSlow() *Problem {
	return &Problem{
		Code: CodeTooSlow, Title: "Too slow", Status: 408,
		Detail: "events were removed before they could be delivered; resume to receive the retained events",
	}
}

// RequestTimeout returns the problem for a request whose body did not arrive in time.
func RequestTimeout() *Problem {
	return &Problem{
		Code: CodeRequestTimeout, Title: "Request timeout", Status: 408,
		Detail: "the body did not arrive in time",
	}
}

// MessageTimeout returns the problem for a WebSocket message that did not arrive within limit.
func MessageTimeout(limit time.Duration) *Problem {
	return &Problem{
		Code: CodeRequestTimeout, Title: "Request timeout", Status: 408,
		Detail: fmt.Sprintf("a message did not arrive completely within %v", limit),
	}
}

// TooLarge returns the problem for input that exceeds a size limit. detail describes the limit.
// parameter is the name of the input and may be empty.
func TooLarge(parameter, detail string) *Problem {
	if parameter != "" {
		detail = parameter + ": " + detail
	}
	return &Problem{Code: CodeTooLarge, Title: "Too large", Status: 413, Detail: detail, Parameter: parameter}
}

// UnsupportedMediaType returns the problem for a Content-Type that the route does not support.
// expected lists the supported media types.
func UnsupportedMediaType(expected string) *Problem {
	return &Problem{
		Code: CodeUnsupportedMediaType, Title: "Unsupported media type", Status: 415,
		Detail: "expected " + expected,
	}
}

// MisdirectedHost returns the problem for a request whose Host header does not name this hub, as in a
// DNS rebinding attack.
func MisdirectedHost(detail string) *Problem {
	return &Problem{Code: CodeMisdirectedHost, Title: "Misdirected request", Status: 421, Detail: detail}
}

// UpgradeRequired returns the problem for a plain HTTP request to the WebSocket route.
func UpgradeRequired() *Problem {
	return &Problem{
		Code: CodeUpgradeRequired, Title: "Upgrade required", Status: 426,
		Detail: "this route requires WebSocket version 13",
	}
}

// HeaderTooLarge returns the problem for a request header of more than limit bytes.
func HeaderTooLarge(limit int) *Problem {
	return &Problem{
		Code: CodeHeaderTooLarge, Title: "Header too large", Status: 431,
		Detail: fmt.Sprintf("at most %d bytes are allowed", limit),
	}
}

// RateLimited returns the problem for a sender that exceeds its rate limit. detail describes the limit.
func RateLimited(detail string, retryAfter time.Duration) *Problem {
	return &Problem{
		Code: CodeRateLimited, Title: "Too many requests", Status: 429,
		Detail: detail, RetryAfter: retryAfter,
	}
}

// TooManyTries returns the problem for a client that exceeds its limit of connection attempts. detail
// describes the limit.
func TooManyTries(detail string, retryAfter time.Duration) *Problem {
	return &Problem{
		Code: CodeTooManyTries, Title: "Too many tries", Status: 429,
		Detail: detail, RetryAfter: retryAfter,
	}
}

// TooManyConnections returns the problem for a connection that would exceed a limit. detail describes
// the limit.
func TooManyConnections(detail string, retryAfter time.Duration) *Problem {
	return &Problem{
		Code: CodeTooManyConnections, Title: "Too many connections", Status: 503,
		Detail: detail, RetryAfter: retryAfter,
	}
}

// Draining returns the problem for a new subscription while the hub is shutting down.
func Draining(retryAfter time.Duration) *Problem {
	return &Problem{
		Code: CodeDraining, Title: "Draining", Status: 503,
		Detail: "the hub is shutting down", RetryAfter: retryAfter,
	}
}
