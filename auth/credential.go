package auth

import (
	"context"
	"crypto/sha256"
	"net/http"
	"time"
)

// Credential is what a valid token stands for. It does not hold the token.
type Credential struct {
	// Hash identifies the token: it is the same for all uses of the token, and different from
	// others.
	Hash  [sha256.Size]byte
	Grant *Grant
	// Expires is when the token expires; zero: never.
	Expires time.Time
	// ID is the jti of a JWT, by which it can be revoked (RFC 7519 section 4.1.7); "" if absent.
	ID string
	// Subject and Issued are the sub and iat of a JWT, by which it can be revoked too; zero if
	// absent.
	Subject string
	Issued  time.Time

	Limits Limits

	source Verifier // the verifier in a chain that issued it; nil without a chain
}

// Limits are the limits of one token. 0 is no limit.
type Limits struct {
	Connections int // at a time
	ConnectRate int // new connections per second
	PublishRate int // events per second
}

// Verifier verifies tokens.
type Verifier interface {
	// Verify returns the credential of a token, which is syntactically valid. If the token is at
	// fault, the error is or wraps ErrBadToken, ErrTokenEnded or ErrTokenNotYet, and contains no
	// part of the token. Any other error means that the token could not be verified. ctx is the request's;
	// r is the request that brings the token, or nil for a token that a connection renews.
	Verify(ctx context.Context, r *http.Request, token string) (*Credential, error)
	// Recheck verifies a credential returned by Verify again, after the verifier's configuration
	// has changed. It does not check the expiry.
	Recheck(*Credential) (*Credential, error)
}
