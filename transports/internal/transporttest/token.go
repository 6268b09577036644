package transporttest

import (
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/internal/web"
	"github.com/trivium-hub/trivium/transports/problems"
)

var everything = &hub.Grant{
	Subject:   "test",
	Subscribe: hub.NewFilterSet(hub.Everything),
	Publish:   hub.NewFilterSet(hub.Everything),
}

// freshToken is a valid token for the command auth, with all rights.
const freshToken = "fresh"

// Token is the web.Access of every request to a Server. It has no limits.
type Token struct {
	renewing *Token // the Token whose connections this one takes over
	mu       sync.Mutex
	grant    *hub.Grant
	holders  map[hub.Holder]struct{}
}

// NewToken returns a Token with the grant.
func NewToken(grant *hub.Grant) *Token {
	return &Token{grant: grant, holders: make(map[hub.Holder]struct{})}
}

// SetGrant changes the rights of the token; nil ends it.
func (t *Token) SetGrant(grant *hub.Grant) {
	t.mu.Lock()
	t.grant = grant
	holders := slices.Collect(maps.Keys(t.holders))
	t.mu.Unlock()
	for _, h := range holders {
		h.OnRightsChanged()
	}
}

// Holders returns the number of connections.
func (t *Token) Holders() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.holders)
}

// Grant implements web.Access.
func (t *Token) Grant() *hub.Grant {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.grant
}

// Sender implements web.Access.
func (t *Token) Sender() string { return "token" }

// Authorize implements web.Access.
func (t *Token) Authorize(set hub.FilterSet) *problems.Problem { return web.Authorize(t.Grant(), set) }

// Acquire implements web.Access.
func (t *Token) Acquire(h hub.Holder) *problems.Problem {
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

// AcquireUncounted implements web.Access.
func (t *Token) AcquireUncounted(h hub.Holder) *problems.Problem { return t.Acquire(h) }

// Release implements web.Access.
func (t *Token) Release(h hub.Holder) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.holders, h)
}

// ReserveFilters implements web.Access.
func (t *Token) ReserveFilters(hub.Holder, hub.FilterSet) *problems.Problem { return nil }

// AdmitSubscription implements web.Access.
func (t *Token) AdmitSubscription() *problems.Problem { return nil }

// AdmitPublish implements web.Access.
func (t *Token) AdmitPublish(int) *problems.Problem { return nil }

// WaitPublish implements web.Access.
func (t *Token) WaitPublish(_ context.Context, events int) (int, error) { return events, nil }

// Renew implements web.Access.
func (t *Token) Renew(text string) (web.Access, *problems.Problem) {
	if text != freshToken {
		return nil, problems.InvalidToken("the token is not valid")
	}
	fresh := NewToken(everything)
	fresh.renewing = t
	return fresh, nil
}

// Done implements web.Access.
func (t *Token) Done() {}
