package auth

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/trivium-hub/trivium/hub"
)

// NewCredential returns the credential of a subject with the rights to subscribe to and to publish to what the
// filters select, until expires; the zero time is no end. It is for Config.Authorize. Requests with equal
// rights of one subject share their limits.
func NewCredential(subject string, subscribe, publish hub.FilterSet, expires time.Time) *Credential {
	rights := fmt.Sprintf("%q %q %q %d", subject, subscribe.Key(), publish.Key(), expires.UnixNano())
	return &Credential{
		Hash:    sha256.Sum256([]byte(rights)),
		Grant:   &hub.Grant{Subject: subject, Subscribe: subscribe, Publish: publish},
		Expires: expires,
		Subject: subject,
	}
}

// authorize returns the access that Config.Authorize gives to a request. Done must follow.
func (m *Middleware) authorize(r *http.Request) (*Access, error) {
	credential, err := m.config.Authorize(r)
	switch {
	case errors.Is(err, ErrNoToken):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrNotAuthorized, err)
	case credential == nil:
		return nil, ErrNoToken
	}
	session, err := m.sessions.of(credential, m.sessions.reviewed(), m.config.Verifier)
	if err != nil {
		return nil, err
	}
	return &Access{middleware: m, session: session, network: NetworkOf(m.config.Proxies.Client(r))}, nil
}
