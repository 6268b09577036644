package bench

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"sync/atomic"

	"github.com/trivium-hub/trivium/auth"
	"github.com/trivium-hub/trivium/hub"
)

// millionTokens verifies the tokens of the subscribers.
type millionTokens struct {
	names   []string
	byHash  map[[sha256.Size]byte]*auth.Credential
	revoked atomic.Pointer[[sha256.Size]byte] // hash of the revoked token; nil: none
}

// newMillionTokens returns the tokens of n subscribers.
func newMillionTokens(n int) *millionTokens {
	t := &millionTokens{byHash: map[[sha256.Size]byte]*auth.Credential{}}
	everything := hub.NewFilterSet(hub.Everything)
	for i := range (n + perToken - 1) / perToken {
		name := auth.NewToken()
		hash := sha256.Sum256([]byte(name))
		t.names = append(t.names, name)
		t.byHash[hash] = &auth.Credential{Hash: hash, Grant: &auth.Grant{Subject: fmt.Sprint("subscriber-", i), Subscribe: everything}}
	}
	return t
}

func (t *millionTokens) count() int { return len(t.names) }

// of returns the token of subscriber i.
func (t *millionTokens) of(i int) string { return t.names[i/perToken] }

// revoke revokes token number i. To close its connections, the caller then calls Recheck of the middleware.
func (t *millionTokens) revoke(i int) {
	hash := sha256.Sum256([]byte(t.names[i]))
	t.revoked.Store(&hash)
}

// Verify implements auth.Verifier.
func (t *millionTokens) Verify(_ context.Context, _ *http.Request, token string) (*auth.Credential, error) {
	c := t.byHash[sha256.Sum256([]byte(token))]
	if c == nil {
		return nil, auth.ErrBadToken
	}
	return t.Recheck(c)
}

// Recheck implements auth.Verifier.
func (t *millionTokens) Recheck(c *auth.Credential) (*auth.Credential, error) {
	if revoked := t.revoked.Load(); revoked != nil && c.Hash == *revoked {
		return nil, auth.ErrTokenEnded
	}
	return c, nil
}
