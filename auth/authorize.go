package auth

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/trivium-hub/trivium/hub"
)

// NewCredential returns a credential for Config.Authorize. The filter sets subscribe and publish
// determine the topics to which the subject may subscribe and publish. The parameter expires is the
// time at which the rights end; the zero time means never. Requests with the same subject and equal
// rights share limits.
func NewCredential(subject string, subscribe, publish hub.FilterSet, expires time.Time) *Credential {
	rights := fmt.Sprintf("%q %q %q %d", subject, subscribe.Key(), publish.Key(), expires.UnixNano())
	return &Credential{
		Hash:    sha256.Sum256([]byte(rights)),
		Grant:   &Grant{Subject: subject, Subscribe: subscribe, Publish: publish},
		Expires: expires,
		Subject: subject,
	}
}

// authorize calls Config.Authorize and returns the Access for its credential. The caller must call
// Done.
func (m *Middleware) authorize(r *http.Request) (*tokenAccess, error) {
	credential, err := m.config.Authorize(r)
	switch {
	case errors.Is(err, ErrNoToken):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrNotAuthorized, err)
	case credential == nil:
		return nil, ErrNoToken
	}
	session, err := m.sessions.acquire(credential, m.sessions.generation(), m.config.Verifier)
	if err != nil {
		return nil, err
	}
	return &tokenAccess{middleware: m, session: session, client: m.config.Proxies.Client(r)}, nil
}
