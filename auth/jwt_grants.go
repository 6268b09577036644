package auth

import (
	"crypto/sha256"
	"sync"

	"github.com/trivium-hub/trivium/hub"
)

// Bounds of the grants that are kept.
const (
	maxGrantBytes = 4 << 20 // of their filters, in memory
	smallGrant    = 16      // filters up to which a set is made faster than it is found
)

// grants keeps the grants of tokens with many filters, which every request of a token needs and which are
// slow to make. When there are too many it forgets all.
type grants struct {
	mu     sync.Mutex
	byHash map[[sha256.Size]byte]*hub.Grant
	bytes  int
}

// of returns the grant of a token whose signature was verified.
func (g *grants) of(c *claims, hash [sha256.Size]byte) *hub.Grant {
	small := len(c.subscribe)+len(c.publish) <= smallGrant
	if !small {
		if known := g.known(hash); known != nil {
			return known
		}
	}
	grant := &hub.Grant{
		Subject:   subjectOf(c, hash),
		Subscribe: hub.NewFilterSet(c.subscribe...),
		Publish:   hub.NewFilterSet(c.publish...),
	}
	if !small {
		g.keep(hash, grant)
	}
	return grant
}

func (g *grants) known(hash [sha256.Size]byte) *hub.Grant {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.byHash[hash]
}

func (g *grants) keep(hash [sha256.Size]byte, grant *hub.Grant) {
	size := grant.Subscribe.Size() + grant.Publish.Size()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.byHash[hash] != nil {
		return
	}
	if g.bytes+size > maxGrantBytes || g.byHash == nil {
		g.byHash, g.bytes = make(map[[sha256.Size]byte]*hub.Grant), 0
	}
	g.byHash[hash] = grant
	g.bytes += size
}
