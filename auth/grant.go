package auth

import (
	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/problems"
)

// Grant holds the rights of a request: the topics to which it may subscribe and publish. A nil
// Grant permits nothing: there is no token, or it is no longer valid.
type Grant struct {
	// Subject identifies the user for counters and idempotency keys. It is never the token itself.
	Subject   string
	Subscribe hub.FilterSet
	Publish   hub.FilterSet
}

// MayPublish reports whether the grant permits publishing to the topic.
func (g *Grant) MayPublish(topic string) bool { return g.Publish.Match(topic) }

// MaySubscribe reports whether the grant covers every filter of the set. If not, it also returns
// the first filter that the grant does not cover.
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

// CheckSubscription returns the problem with which to refuse a subscription to the set, or nil if
// the grant permits it.
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

// Authorize checks an existing subscription to the set. It returns nil if the subscription may
// continue, or the problem with which to end it. An empty set requires no right.
func (g *Grant) Authorize(set hub.FilterSet) *problems.Problem {
	if g != nil && set.Len() == 0 {
		return nil // the subscription reads nothing
	}
	return g.CheckSubscription(set)
}
