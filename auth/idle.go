package auth

import "net/netip"

// idleHolders maps each idle connection to its Access. Idle connections may be closed to make room
// for other connections.
type idleHolders map[Holder]*tokenAccess

// idleTable holds the idle connections: all of them for the limit on all connections, by network
// for the limit per address, and by session for the limit per token.
type idleTable struct {
	all       idleHolders
	byNetwork map[netip.Prefix]idleHolders
	bySession map[*tokenSession]idleHolders
}

func newIdleTable() idleTable {
	return idleTable{make(idleHolders), make(map[netip.Prefix]idleHolders), make(map[*tokenSession]idleHolders)}
}

func (t *idleTable) add(h Holder, a *tokenAccess) {
	t.all[h] = a
	addTo(t.byNetwork, a.network(), h, a)
	addTo(t.bySession, a.session, h, a)
}

func (t *idleTable) remove(h Holder, a *tokenAccess) {
	if _, ok := t.all[h]; !ok {
		return
	}
	delete(t.all, h)
	removeFrom(t.byNetwork, a.network(), h)
	removeFrom(t.bySession, a.session, h)
}

func addTo[K comparable](m map[K]idleHolders, key K, h Holder, a *tokenAccess) {
	if m[key] == nil {
		m[key] = make(idleHolders)
	}
	m[key][h] = a
}

func removeFrom[K comparable](m map[K]idleHolders, key K, h Holder) {
	delete(m[key], h)
	if len(m[key]) == 0 {
		delete(m, key)
	}
}

// SetIdle implements Access.
func (a *tokenAccess) SetIdle(h Holder) {
	all := a.middleware.sessions
	all.mu.Lock()
	defer all.mu.Unlock()
	if a.session.holders[h] {
		all.idle.add(h, a)
	}
}

// yield releases one idle connection to make room for another, and appends it to yielded. The
// caller must notify the released connection. yield returns false if no connection is idle.
// sessionTable.mu must be held.
func (idle idleHolders) yield(yielded *[]Holder) bool {
	for h, a := range idle {
		a.release(h)
		*yielded = append(*yielded, h)
		return true
	}
	return false
}
