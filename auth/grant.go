package auth

import (
	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/problems"
)

// Grant is what a request may do: the topics that it may read and those that it may write. A nil Grant permits nothing: its
// token is no longer valid.
type Grant struct {
	// Subject names the user, for counts and idempotency keys. It is never the token.
	Subject   string
	Subscribe hub.FilterSet
	Publish   hub.FilterSet
}

// MayPublish reports whether the grant covers the topic.
func (g *Grant) MayPublish(topic string) bool { return g.Publish.Match(topic) }

// MaySubscribe reports whether the grant covers every filter of the set, or returns the first that it does not.
func (g *Grant) MaySubscribe(set hub.FilterSet) (refused hub.Filter, ok bool) {
	if set.Equal(g.Subscribe) {
		return hub.Filter{}, true
	}
	for f := range set.All() {
		if !g.Subscribe.Cover(f) {
			return f, false
		}
	}
	return hub.Filter{}, true
}

// CheckSubscription returns the problem of subscribing to the set, or nil if the grant allows it.
func (g *Grant) CheckSubscription(set hub.FilterSet) *problems.Problem {
	if g == nil {
		return problems.TokenEnded()
	}
	if g.Subscribe.Len() == 0 {
		return problems.Forbidden("this token may not subscribe to anything")
	}
	if refused, ok := g.MaySubscribe(set); !ok {
		return problems.Forbidden("this token may not subscribe to " + refused.String())
	}
	return nil
}

// Authorize returns the problem that ends a subscription to the set, or nil if it may continue. An empty set needs no
// right.
func (g *Grant) Authorize(set hub.FilterSet) *problems.Problem {
	if g != nil && set.Len() == 0 {
		return nil // nothing is read
	}
	return g.CheckSubscription(set)
}
