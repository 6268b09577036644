package transporttest

import (
	"context"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"sync"

	"github.com/trivium-hub/trivium/auth"
	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/problems"
)

var everything = &auth.Grant{
	Subject:   "test",
	Subscribe: hub.NewFilterSet(hub.Everything),
	Publish:   hub.NewFilterSet(hub.Everything),
}

// freshToken is the token that Token.Renew accepts. It has all rights.
const freshToken = "fresh"

// Token is the auth.Access of every request to a Server. It sets no limits.
type Token struct {
	renewing *Token // the Token that this Token replaces: Acquire releases it; nil: none
	mu       sync.Mutex
	grant    *auth.Grant
	holders  map[auth.Holder]struct{}
}

// NewToken returns a Token with the given grant.
func NewToken(grant *auth.Grant) *Token {
	return &Token{grant: grant, holders: make(map[auth.Holder]struct{})}
}

// SetGrant changes the rights of the token. A nil grant ends the token.
func (t *Token) SetGrant(grant *auth.Grant) {
	t.mu.Lock()
	t.grant = grant
	holders := slices.Collect(maps.Keys(t.holders))
	t.mu.Unlock()
	for _, h := range holders {
		h.OnRightsChanged()
	}
}

// Holders returns the number of connections that hold the token.
func (t *Token) Holders() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.holders)
}

// Grant implements auth.Access.
func (t *Token) Grant() *auth.Grant {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.grant
}

// Sender implements auth.Access.
func (t *Token) Sender() string { return "token" }

// Client implements auth.Access.
func (t *Token) Client() netip.Addr { return netip.Addr{} }

// Acquire implements auth.Access.
func (t *Token) Acquire(h auth.Holder) *problems.Problem {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.grant == nil {
		return problems.TokenEnded()
	}
	t.holders[h] = struct{}{}
	if t.renewing != nil {
		t.renewing.Release(h)
	}
	return nil
}

// AcquireUncounted implements auth.Access.
func (t *Token) AcquireUncounted(h auth.Holder) *problems.Problem { return t.Acquire(h) }

// Release implements auth.Access.
func (t *Token) Release(h auth.Holder) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.holders, h)
}

// SetIdle implements auth.Access.
func (t *Token) SetIdle(auth.Holder) {}

// ReserveFilters implements auth.Access.
func (t *Token) ReserveFilters(auth.Holder, hub.FilterSet) *problems.Problem { return nil }

// AdmitSubscription implements auth.Access.
func (t *Token) AdmitSubscription() *problems.Problem { return nil }

// AdmitPublish implements auth.Access.
func (t *Token) AdmitPublish(int) *problems.Problem { return nil }

// WaitPublish implements auth.Access.
func (t *Token) WaitPublish(_ context.Context, events int) (int, error) { return events, nil }

// Renew implements auth.Access.
func (t *Token) Renew(_ context.Context, text string) (auth.Access, *problems.Problem) {
	if text != freshToken {
		return nil, problems.InvalidToken("the token is not valid")
	}
	fresh := NewToken(everything)
	fresh.renewing = t
	return fresh, nil
}

// Done implements auth.Access.
func (t *Token) Done() {}

// Authorized returns a handler that adds access to the context of each request, as auth.Middleware does,
// and calls next.
func Authorized(access auth.Access, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(auth.WithAccess(r.Context(), access)))
	})
}
