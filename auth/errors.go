package auth

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// Reasons for refusing a request. The transports choose the HTTP status or close code.
var (
	// ErrHost is returned if the Host header is not one of the hub's names (421). It must be
	// answered with an HTTP status, also on the WebSocket route: in a DNS rebinding attack, the
	// page's origin matches the wrong Host, so the page could read a close code. It cannot read the
	// status of a refused handshake.
	ErrHost = errors.New("the Host is neither loopback, nor an address on which this hub listens, nor a name of this hub")
	// ErrForeignOrigin is returned for a page of another origin (403). It must be answered with an
	// HTTP status, also on the WebSocket route. The Middleware returns it as an *OriginError.
	ErrForeignOrigin = errors.New("the Origin is neither that of this hub nor one that is allowed")

	// ErrTwoTokens is returned for a request with more than one token, or with session cookies that
	// have different values (400).
	ErrTwoTokens = errors.New("more than one token: give one, as Authorization: Bearer, access_token, trivium.bearer.<token> or the cookie trivium_token")
	// ErrLoneBearer is returned if a WebSocket handshake offers the subprotocol that contains the
	// token, but not trivium.v1, which the hub selects (400).
	ErrLoneBearer = errors.New("the subprotocol trivium.bearer.<token> must be offered together with trivium.v1")

	// ErrCookieTooLong is returned if the token is too long for a cookie (400).
	ErrCookieTooLong = errors.New("a token in a cookie must have at most 3072 characters")
	// ErrNotBearer is returned if the token for a session is not in Authorization (400).
	ErrNotBearer = errors.New("a session requires the token as Authorization: Bearer")
	// ErrMethod is returned for a method other than POST and DELETE on the route of sessions (405).
	// The header Allow is set.
	ErrMethod = errors.New("want the method POST to create a session, or DELETE to end it")
	// ErrTicketMethod is returned for a method other than POST on the route of tickets (405).
	ErrTicketMethod = errors.New("want the method POST to issue a ticket")
	// ErrNotToken is returned if a client sends a token to renew a connection whose rights
	// Config.Authorize has determined.
	ErrNotToken = errors.New("the rights of this connection were not set by a token, so a new token cannot renew them; connect again")

	// ErrNotAuthorized is wrapped by the errors of Config.Authorize (403).
	ErrNotAuthorized = errors.New("not authorized")

	// ErrNoToken is returned for a request without a token (401, with a WWW-Authenticate challenge
	// that has no error code).
	ErrNoToken = errors.New("a token is required: Authorization: Bearer (or Basic with the token as the password), access_token in the query, or the cookie trivium_token")
	// ErrTokenSyntax is returned for a token with invalid characters or an invalid length (401, RFC
	// 6750 invalid_token).
	ErrTokenSyntax = errors.New("a token must be 1 to 8192 of the characters A-Z a-z 0-9 - . _ ~")
	// ErrBadToken is returned for an unknown or invalid token (401, RFC 6750 invalid_token).
	ErrBadToken = errors.New("the token is not valid")
	// ErrTokenEnded is returned for a token that has expired or was revoked (401, RFC 6750
	// invalid_token).
	ErrTokenEnded = errors.New("the token has expired or was revoked")
	// ErrTokenNotYet is returned for a token that is not valid yet (401, RFC 6750 invalid_token).
	ErrTokenNotYet = errors.New("the token is not valid yet")
	// ErrUnavailable is returned if the token cannot be verified at present (503, temporary).
	ErrUnavailable = errors.New("the keys that verify tokens are not available")
)

// OriginError is an ErrForeignOrigin with the origins that were compared. Its message may be sent
// to the client: the parts of the request that it contains are escaped to printable ASCII.
type OriginError struct {
	Origins []string // the Origin headers; empty if Sec-Fetch-Site names another site
	Own     string   // the hub's own origin, as derived from the request
}

// Error implements error.
func (e *OriginError) Error() string {
	switch {
	case len(e.Origins) > 1:
		return "the request has more than one Origin header"
	case len(e.Origins) == 0:
		return "the request was caused by a page of another site (Sec-Fetch-Site) and has no Origin header"
	}
	origin := printable(e.Origins[0])
	if origin == nullOrigin {
		origin += " (a page from a file, a sandboxed frame or a redirect)"
	}
	return fmt.Sprintf("origin %s does not match %s (Host and scheme as seen by this hub)", origin, printable(e.Own))
}

// Unwrap returns ErrForeignOrigin.
func (e *OriginError) Unwrap() error { return ErrForeignOrigin }

// maxPrinted is the maximum number of bytes of a string that printable keeps.
const maxPrinted = 256

// printable returns the beginning of a string sent by a client, with everything except printable
// ASCII escaped.
func printable(text string) string {
	quoted := strconv.QuoteToASCII(text[:min(len(text), maxPrinted)])
	return quoted[1 : len(quoted)-1]
}

// UnavailableError is an ErrUnavailable that contains the delay after which to retry.
type UnavailableError struct {
	RetryAfter time.Duration // above 0
	detail     string        // "": the message of ErrUnavailable
}

// Error implements error.
func (e *UnavailableError) Error() string { return cmp.Or(e.detail, ErrUnavailable.Error()) }

// Unwrap returns ErrUnavailable.
func (e *UnavailableError) Unwrap() error { return ErrUnavailable }

// minRetryAfter is the shortest delay after which a client is asked to retry.
const minRetryAfter = time.Millisecond

// keysMissing returns the error for a token that arrives before any keys were fetched. wait is the
// time until the next fetch starts.
func keysMissing(wait time.Duration) error {
	return &UnavailableError{RetryAfter: max(wait, minRetryAfter)}
}

// keyPending returns the error for a token whose key is unknown, but may be among the keys of the
// next fetch. wait is the time until that fetch may start.
func keyPending(wait time.Duration) error {
	return &UnavailableError{
		RetryAfter: max(wait, minRetryAfter),
		detail:     "the key (kid) of the token is not known yet, and the keys are about to be fetched again",
	}
}
