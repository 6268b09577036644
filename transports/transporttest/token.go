package transporttest

import (
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/web"
	"github.com/trivium-hub/trivium/transports/wire"
)

var everything = &hub.Grant{
	Subject:   "test",
	Subscribe: hub.NewFilterSet(hub.Everything),
	Publish:   hub.NewFilterSet(hub.Everything),
}

// freshToken is what the auth command may bring; it stands for a grant to everything.
const freshToken = "fresh"

// Token is a web.Access that every request of a server comes with. It bounds nothing.
type Token struct {
	renews  *Token // whose holders it takes over
	mu      sync.Mutex
	grant   *hub.Grant
	holders map[hub.Holder]struct{}
}

// NewToken makes a Token for the grant.
func NewToken(grant *hub.Grant) *Token {
	return &Token{grant: grant, holders: make(map[hub.Holder]struct{})}
}

// Revise changes what the token grants; nil ends it.
func (t *Token) SetGrant(grant *hub.Grant) {
	t.mu.Lock()
	t.grant = grant
	holders := slices.Collect(maps.Keys(t.holders))
	t.mu.Unlock()
	for _, h := range holders {
		h.OnRightsChanged()
	}
}

// Holders is how many hold it.
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

// Judge implements web.Access.
func (t *Token) Authorize(set hub.FilterSet) *wire.Problem { return web.Authorize(t.Grant(), set) }

// Hold implements web.Access.
func (t *Token) Acquire(h hub.Holder) *wire.Problem {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.grant == nil {
		return wire.TokenEnded()
	}
	t.holders[h] = struct{}{}
	if t.renews != nil {
		t.renews.Release(h)
	}
	return nil
}

// Watch implements web.Access.
func (t *Token) AcquireUncounted(h hub.Holder) *wire.Problem { return t.Acquire(h) }

// Release implements web.Access.
func (t *Token) Release(h hub.Holder) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.holders, h)
}

// Filters implements web.Access.
func (t *Token) ReserveFilters(hub.Holder, hub.FilterSet) *wire.Problem { return nil }

// Subscribe implements web.Access.
func (t *Token) AdmitSubscription() *wire.Problem { return nil }

// Publish implements web.Access.
func (t *Token) AdmitPublish(int) *wire.Problem { return nil }

// AwaitPublish implements web.Access.
func (t *Token) WaitPublish(_ context.Context, events int) (int, error) { return events, nil }

// Renew implements web.Access.
func (t *Token) Renew(text string) (web.Access, *wire.Problem) {
	if text != freshToken {
		return nil, wire.InvalidToken("the token is not valid")
	}
	fresh := NewToken(everything)
	fresh.renews = t
	return fresh, nil
}

// Done implements web.Access.
func (t *Token) Done() {}
