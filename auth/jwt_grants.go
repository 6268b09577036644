package auth

import (
	"crypto/sha256"
	"sync"

	"github.com/trivium-hub/trivium/hub"
)

// Limits of the grant cache.
const (
	maxGrantBytes = 4 << 20 // maximum memory of the cached grants' filters in bytes
	smallGrant    = 16      // a grant with at most 16 filters is not cached, because building it is faster than a lookup
)

// grantCache caches the grants of tokens with many filters, because each request needs the grant
// and building it is slow. A full cache is cleared.
type grantCache struct {
	mu     sync.Mutex
	byHash map[[sha256.Size]byte]*Grant
	bytes  int
}

// grantFor returns the grant of a verified token.
func (g *grantCache) grantFor(c *claims, hash [sha256.Size]byte) *Grant {
	small := len(c.subscribe)+len(c.publish) <= smallGrant
	if !small {
		if known := g.lookup(hash); known != nil {
			return known
		}
	}
	grant := &Grant{
		Subject:   subjectOf(c, hash),
		Subscribe: hub.NewFilterSet(c.subscribe...),
		Publish:   hub.NewFilterSet(c.publish...),
	}
	if !small {
		g.add(hash, grant)
	}
	return grant
}

func (g *grantCache) lookup(hash [sha256.Size]byte) *Grant {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.byHash[hash]
}

func (g *grantCache) add(hash [sha256.Size]byte, grant *Grant) {
	size := grant.Subscribe.Size() + grant.Publish.Size()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.byHash[hash] != nil {
		return
	}
	if g.bytes+size > maxGrantBytes || g.byHash == nil {
		g.byHash, g.bytes = make(map[[sha256.Size]byte]*Grant), 0
	}
	g.byHash[hash] = grant
	g.bytes += size
}
