package auth

import (
	"context"
	"crypto/sha256"
	"net/http"
	"time"
)

// Credential holds the rights and limits of a valid token. It does not contain the token.
type Credential struct {
	// Hash identifies the token: all uses of one token have the same hash, and different tokens
	// have different hashes.
	Hash  [sha256.Size]byte
	Grant *Grant
	// Expires is the time at which the token expires; zero: never.
	Expires time.Time
	// ID is the jti of a JWT, by which it can be revoked (RFC 7519 section 4.1.7); "" if absent.
	ID string
	// Subject and Issued are the sub and iat of a JWT, by which it can also be revoked. They are
	// zero if absent.
	Subject string
	Issued  time.Time

	Limits Limits

	source Verifier // the verifier in a Chain that issued the credential; nil without a Chain
}

// Limits are the limits of one token. 0 means no limit.
type Limits struct {
	Connections int // concurrent connections
	ConnectRate int // new connections per second
	PublishRate int // events per second
}

// Verifier verifies tokens.
type Verifier interface {
	// Verify returns the credential of a token. The caller has checked the token's syntax. If the
	// token is not valid, the error is or wraps ErrBadToken, ErrTokenEnded or ErrTokenNotYet, and
	// contains no part of the token. Any other error means that the token could not be verified.
	// ctx is the context of the request. r is the request with the token, or nil if a connection
	// renews its token.
	Verify(ctx context.Context, r *http.Request, token string) (*Credential, error)
	// Recheck verifies again a credential that Verify has returned, after the verifier's
	// configuration has changed. It does not check the expiry.
	Recheck(*Credential) (*Credential, error)
}
