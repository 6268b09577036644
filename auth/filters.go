package auth

import "github.com/trivium-hub/trivium/hub"

// freeFilterBytes is what the filters of each connection may take without being counted: that is several
// filters of the usual length.
const freeFilterBytes = 1 << 10

// filterUse is the memory of a set of filters to which connections of one token subscribe. They share it.
type filterUse struct {
	set         hub.FilterSet
	bytes       int
	connections int
}

// filterBytes returns what a set counts toward the limits.
func filterBytes(set hub.FilterSet) int { return max(0, set.Size()-freeFilterBytes) }

// Filters counts the filters that a holder is about to subscribe to toward the memory that filters may take,
// in place of what it subscribed to before, until it lets go. With an error, a *LimitError, nothing has
// changed.
func (a *Access) ReserveFilters(h hub.Holder, set hub.FilterSet) error {
	all := a.middleware.sessions
	all.mu.Lock()
	defer all.mu.Unlock()
	if _, held := a.session.holders[h]; !held {
		return nil // the connection released its filters meanwhile and has none
	}
	before := a.session.filters[h]
	all.unuse(a.session, h)
	err := all.use(a.session, h, set)
	if err != nil && before != nil {
		all.count(a.session, h, before.set)
	}
	return err
}

// use counts a set unless that would be more than the limits allow. Called with mu held.
func (l *sessionTable) use(lease *tokenSession, h hub.Holder, set hub.FilterSet) error {
	n := filterBytes(set)
	if n > 0 && lease.sets[set.Key()] == nil {
		if limit := l.limits.FilterBytesPerToken; limit > 0 && lease.filterBytes+n > limit {
			return l.refuse(LimitFilterBytesPerToken, limit, 0)
		}
		if limit := l.limits.FilterBytes; limit > 0 && l.filterBytes+n > limit {
			return l.refuse(LimitFilterBytes, limit, 0)
		}
	}
	l.count(lease, h, set)
	return nil
}

func (l *sessionTable) count(lease *tokenSession, h hub.Holder, set hub.FilterSet) {
	n := filterBytes(set)
	if n == 0 {
		return
	}
	use := lease.sets[set.Key()]
	if use == nil {
		use = &filterUse{set: set, bytes: n}
		if lease.sets == nil {
			lease.sets, lease.filters = make(map[string]*filterUse), make(map[hub.Holder]*filterUse)
		}
		lease.sets[set.Key()] = use
		lease.filterBytes += n
		l.filterBytes += n
	}
	use.connections++
	lease.filters[h] = use
}

// unuse takes back what was counted for a holder.
func (l *sessionTable) unuse(lease *tokenSession, h hub.Holder) {
	use := lease.filters[h]
	if use == nil {
		return
	}
	delete(lease.filters, h)
	if use.connections--; use.connections == 0 {
		delete(lease.sets, use.set.Key())
		lease.filterBytes -= use.bytes
		l.filterBytes -= use.bytes
	}
}
