package auth

import (
	"crypto/sha256"
	"time"

	"github.com/trivium-hub/trivium/hub"
)

// Credential is what a valid token stands for. It does not hold the token.
type Credential struct {
	// Hash is of the token. It is the same for all uses of one token and of no other.
	Hash  [sha256.Size]byte
	Grant *hub.Grant
	// Expires is when the token ends; zero: never.
	Expires time.Time
	// ID is the jti of a JWT, by which it can be revoked (RFC 7519 section 4.1.7); "" if it has
	// none.
	ID string
	// Subject and Issued are the sub and the iat of a JWT, by which it can be revoked too; zero if
	// it has none.
	Subject string
	Issued  time.Time

	Limits Limits

	source Verifier // which gave it to a chain; nil without one
}

// Limits are of one token. 0 is no limit.
type Limits struct {
	Connections int // at a time
	ConnectRate int // new ones a second
	PublishRate int // events a second
}

// Verifier judges tokens.
type Verifier interface {
	// Verify says what a token stands for, which has the form of one. The error is ErrBadToken,
	// ErrTokenEnded or ErrTokenNotYet, or wraps one of them where the token is at fault, and
	// never repeats anything of it. Any other error means that it could not be judged.
	Verify(token string) (*Credential, error)
	// Review judges again what Verify has given, after what it goes by has changed: files are
	// reread while tokens are in use. The end of the token by time is not its business.
	Recheck(*Credential) (*Credential, error)
}
