package hub

// Grant is what one request may do: the topics it may read and those it may write. Who made it
// out of a token is not the hub's business; adapters judge by it what they are asked for.
type Grant struct {
	// Subject names whose grant it is, for counts and idempotency keys: never the token itself.
	Subject   string
	Subscribe FilterSet
	Publish   FilterSet
}

// MayPublish reports whether the grant covers the topic.
func (g *Grant) MayPublish(topic string) bool { return g.Publish.Match(topic) }

// MaySubscribe gives the first filter of the set that no filter of the grant covers; ok means
// there is none.
func (g *Grant) MaySubscribe(set FilterSet) (refused Filter, ok bool) {
	if set.Equal(g.Subscribe) {
		return Filter{}, true
	}
	for f := range set.All() {
		if !g.Subscribe.Cover(f) {
			return f, false
		}
	}
	return Filter{}, true
}

// Holder is a connection that was let in by a grant.
type Holder interface {
	// Revise is called when what was granted has changed or was taken back. It must not block, and
	// may be called from any goroutine, also once more after the holder has let go.
	OnRightsChanged()
}
