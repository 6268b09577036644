package auth

import (
	"github.com/trivium-hub/trivium/hub"
)

// freeFilterBytes is the number of bytes of a connection's filters that are not counted toward the
// limits. It suffices for several filters of usual length.
const freeFilterBytes = 1 << 10

// filterUse records the memory of one filter set, which the connections of one token can share.
type filterUse struct {
	set         hub.FilterSet
	bytes       int
	connections int
}

// filterBytes returns the number of bytes of a set that are counted toward the limits.
func filterBytes(set hub.FilterSet) int { return max(0, set.Size()-freeFilterBytes) }

// reserveFilters counts the memory of the filters to which a connection is about to subscribe. They
// are counted until Release, or until another call replaces them. If a limit would be exceeded, the
// error is a *LimitError, and the counts are unchanged.
func (a *tokenAccess) reserveFilters(h Holder, set hub.FilterSet) error {
	all := a.middleware.sessions
	all.mu.Lock()
	defer all.mu.Unlock()
	if _, held := a.session.holders[h]; !held {
		return nil // the connection has released its session in the meantime
	}
	before := a.session.filters[h]
	all.releaseFilters(a.session, h)
	err := all.reserveFilters(a.session, h, set)
	if err != nil && before != nil {
		all.countFilters(a.session, h, before.set)
	}
	return err
}

// reserveFilters counts a set for h. If a limit would be exceeded, it returns an error. mu must be
// held.
func (t *sessionTable) reserveFilters(session *tokenSession, h Holder, set hub.FilterSet) error {
	n := filterBytes(set)
	if n > 0 && session.sets[set.Key()] == nil {
		if limit := t.limits.FilterBytesPerToken; limit > 0 && session.filterBytes+n > limit {
			return t.refuse(LimitFilterBytesPerToken, limit, 0)
		}
		if limit := t.limits.FilterBytes; limit > 0 && t.filterBytes+n > limit {
			return t.refuse(LimitFilterBytes, limit, 0)
		}
	}
	t.countFilters(session, h, set)
	return nil
}

func (t *sessionTable) countFilters(session *tokenSession, h Holder, set hub.FilterSet) {
	n := filterBytes(set)
	if n == 0 {
		return
	}
	use := session.sets[set.Key()]
	if use == nil {
		use = &filterUse{set: set, bytes: n}
		if session.sets == nil {
			session.sets, session.filters = make(map[string]*filterUse), make(map[Holder]*filterUse)
		}
		session.sets[set.Key()] = use
		session.filterBytes += n
		t.filterBytes += n
	}
	use.connections++
	session.filters[h] = use
}

// releaseFilters stops counting the filters of a connection. mu must be held.
func (t *sessionTable) releaseFilters(session *tokenSession, h Holder) {
	use := session.filters[h]
	if use == nil {
		return
	}
	delete(session.filters, h)
	if use.connections--; use.connections == 0 {
		delete(session.sets, use.set.Key())
		session.filterBytes -= use.bytes
		t.filterBytes -= use.bytes
	}
}
