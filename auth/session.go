package auth

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// tokenSession is the session of a token in use. All requests and connections with the token share
// it, so that expiry and changes are handled once per token, not once per connection.
type tokenSession struct {
	grant     atomic.Pointer[Grant] // current rights; nil: the session has ended
	sender    string                // immutable: the token's hash; "" on an open hub
	connects  rateLimiter           // set once; safe for concurrent use
	publishes rateLimiter           // set once; safe for concurrent use

	// sessionTable.mu guards the following fields.
	credential  *Credential
	requests    int             // requests being served
	holders     map[Holder]bool // the value is true for a connection that counts toward the limits
	connections int

	sets        map[string]*filterUse // filter sets that count toward the limits, by FilterSet.Key
	filters     map[Holder]*filterUse // filter set of each holder
	filterBytes int                   // total bytes of sets
}

// sessionTable holds the sessions of all tokens in use.
type sessionTable struct {
	limits  ConnectionLimits // immutable
	refused map[Limit]*atomic.Uint64

	mu          sync.Mutex // guards the fields below
	byHash      map[[sha256.Size]byte]*tokenSession
	rechecks    int // number of calls of recheckAll
	connections int
	filterBytes int                  // total bytes of all sessions
	addresses   map[netip.Prefix]int // number of connections by network
	idle        idleTable            // idle connections, which are closed to make room for others

	ended []endedToken // tokens that have ended and are not logged yet
	log   *slog.Logger // immutable

	paused func() // for tests; the method each calls it while mu is released; set once
}

func newSessionTable(limits ConnectionLimits, log *slog.Logger) *sessionTable {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	t := &sessionTable{
		limits:    limits,
		log:       log,
		refused:   make(map[Limit]*atomic.Uint64),
		byHash:    make(map[[sha256.Size]byte]*tokenSession),
		addresses: make(map[netip.Prefix]int),
		idle:      newIdleTable(),
	}
	for _, limit := range AllLimits {
		t.refused[limit] = new(atomic.Uint64)
	}
	return t
}

// generation returns the number of rechecks so far. Call it before verifying a token and pass the
// result to acquire, so that a recheck in between is not missed.
func (t *sessionTable) generation() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.rechecks
}

// acquire returns the session of a token for one request; release must be called. If a recheck has
// taken place since generation returned the given number, acquire first rechecks the credential,
// because that recheck did not include this session.
func (t *sessionTable) acquire(c *Credential, rechecks int, verifier Verifier) (*tokenSession, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if rechecks != t.rechecks {
		var err error
		if c, err = verifier.Recheck(c); err != nil {
			return nil, err
		}
	}
	if ended(c, time.Now()) {
		return nil, ErrTokenEnded
	}
	session := t.byHash[c.Hash]
	if session == nil || session.grant.Load() == nil {
		session = &tokenSession{
			credential: c,
			sender:     senderOf(c),
			connects:   newRateLimiter(c.Limits.ConnectRate),
			publishes:  newRateLimiter(c.Limits.PublishRate),
			holders:    make(map[Holder]bool),
		}
		session.grant.Store(c.Grant)
		t.byHash[c.Hash] = session
	}
	session.requests++
	return session, nil
}

// release ends the use of a session by one request. The sweep later deletes sessions that are not
// in use.
func (t *sessionTable) release(session *tokenSession) {
	t.mu.Lock()
	defer t.mu.Unlock()
	session.requests--
}

func ended(c *Credential, now time.Time) bool {
	return !c.Expires.IsZero() && !now.Before(c.Expires)
}

// tokenAccess is the Access that a Middleware creates.
type tokenAccess struct {
	middleware *Middleware
	session    *tokenSession
	client     netip.Addr
	renewing   *tokenAccess // the Access whose connection this one takes over in Acquire; nil afterwards
}

// Grant implements Access.
func (a *tokenAccess) Grant() *Grant {
	return a.session.grant.Load()
}

// Sender implements Access. It returns the hash of the token or, on an open hub, the network of the
// client's address.
func (a *tokenAccess) Sender() string {
	if a.session.sender != "" {
		return a.session.sender
	}
	return a.network().String()
}

// Client implements Access.
func (a *tokenAccess) Client() netip.Addr { return a.client }

// network returns the network of the client. The connections of one network are counted together.
func (a *tokenAccess) network() netip.Prefix { return NetworkOf(a.client) }

func senderOf(c *Credential) string {
	if c.Hash == ([sha256.Size]byte{}) {
		return ""
	}
	return string(c.Hash[:])
}

// acquire admits a connection and counts it. Until Release, h is notified when the rights change.
// The error is ErrTokenEnded or a *LimitError. If renew has returned this Access, the connection
// moves from its old Access to this one.
func (a *tokenAccess) acquire(h Holder) error {
	all := a.middleware.sessions
	var yielded []Holder
	defer func() { // runs after mu is released, because a connection calls Release while it holds a lock of its own
		for _, idle := range yielded {
			idle.OnRightsChanged()
		}
	}()
	all.mu.Lock()
	defer all.mu.Unlock()
	if a.session.grant.Load() == nil {
		return ErrTokenEnded
	}
	limits := a.session.credential.Limits
	if over(a.session.connections, limits.Connections) && (a.renewing == nil || a.renewing.session != a.session) &&
		!all.idle.bySession[a.session].yield(&yielded) {
		return all.refuse(LimitConnectionsPerToken, limits.Connections, 0)
	}
	if a.renewing != nil {
		if use := a.renewing.session.filters[h]; use != nil && a.renewing.session != a.session {
			if err := all.reserveFilters(a.session, h, use.set); err != nil {
				return err
			}
			all.releaseFilters(a.renewing.session, h)
		}
		a.renewing.detach(h)
		a.renewing = nil
		a.addConnection(h)
		return nil
	}
	switch {
	case over(all.connections, all.limits.Total) && !all.idle.all.yield(&yielded):
		return all.refuse(LimitConnections, all.limits.Total, 0)
	case over(all.addresses[a.network()], all.limits.PerAddress) && !all.idle.byNetwork[a.network()].yield(&yielded):
		return all.refuse(LimitConnectionsPerAddress, all.limits.PerAddress, 0)
	}
	if err := a.admitSubscription(); err != nil {
		return err
	}
	a.addConnection(h)
	all.connections++
	all.addresses[a.network()]++
	return nil
}

// over reports whether count+1 would exceed the limit.
func over(count, limit int) bool { return limit > 0 && count >= limit }

func (t *sessionTable) refuse(limit Limit, value int, retry time.Duration) error {
	t.refused[limit].Add(1)
	return &LimitError{Limit: limit, Value: value, RetryAfter: retry}
}

func (a *tokenAccess) addConnection(h Holder) {
	a.session.holders[h] = true
	a.session.connections++
}

func (a *tokenAccess) removeConnection(h Holder) {
	a.middleware.sessions.releaseFilters(a.session, h)
	a.detach(h)
}

// detach is like removeConnection, but does not release the filters of the connection.
func (a *tokenAccess) detach(h Holder) {
	if a.session.holders[h] {
		a.session.connections--
	}
	delete(a.session.holders, h)
}

// acquireUncounted is like acquire, but does not count h. It is for requests other than
// subscriptions.
func (a *tokenAccess) acquireUncounted(h Holder) error {
	a.middleware.sessions.mu.Lock()
	defer a.middleware.sessions.mu.Unlock()
	if a.session.grant.Load() == nil {
		return ErrTokenEnded
	}
	a.session.holders[h] = false
	return nil
}

// Release implements Access. It undoes Acquire or AcquireUncounted.
func (a *tokenAccess) Release(h Holder) {
	all := a.middleware.sessions
	all.mu.Lock()
	defer all.mu.Unlock()
	a.release(h)
}

// release is like Release; sessionTable.mu must be held.
func (a *tokenAccess) release(h Holder) {
	all := a.middleware.sessions
	counted, held := a.session.holders[h]
	if !held {
		return
	}
	all.idle.remove(h, a)
	a.removeConnection(h)
	if !counted {
		return
	}
	all.connections--
	if all.addresses[a.network()]--; all.addresses[a.network()] == 0 {
		delete(all.addresses, a.network())
	}
}

// admitSubscription counts a new subscription toward the token's connect rate. acquire counts the
// first one. The error is a *LimitError.
func (a *tokenAccess) admitSubscription() error {
	if wait, ok := a.session.connects.allow(1); !ok {
		return a.middleware.sessions.refuse(LimitConnectRate, a.session.connects.Burst(), wait)
	}
	return nil
}

// admitPublish counts events toward the token's publish rate. It admits all of them or none. The
// error is a *LimitError.
func (a *tokenAccess) admitPublish(events int) error {
	if wait, ok := a.session.publishes.allow(events); !ok {
		return a.middleware.sessions.refuse(LimitPublishRate, a.session.publishes.Burst(), wait)
	}
	return nil
}

// WaitPublish implements Access.
func (a *tokenAccess) WaitPublish(ctx context.Context, events int) (int, error) {
	if burst := a.session.publishes.Burst(); burst > 0 {
		events = min(events, burst)
	}
	return events, a.session.publishes.WaitN(ctx, events)
}

// renew verifies a new token for a connection, and returns the Access of that token. The connection
// keeps its old Access until it acquires the returned one. The caller must call Done on the
// returned Access.
func (a *tokenAccess) renew(ctx context.Context, token string) (*tokenAccess, error) {
	fresh, err := a.middleware.access(ctx, nil, token)
	if err != nil {
		return nil, err
	}
	fresh.client, fresh.renewing = a.client, a
	return fresh, nil
}

// Done ends the use of an Access that Renew has returned. Connections that have acquired it are not
// affected.
func (a *tokenAccess) Done() { a.middleware.sessions.release(a.session) }

// NetworkOf returns the network of an address: the first 64 bits of an IPv6 address, or all bits of
// an IPv4 address. The limits count a network as one address. For an invalid address it returns the
// zero Prefix.
func NetworkOf(addr netip.Addr) netip.Prefix {
	bits := 64
	if addr.Is4() {
		bits = 32
	}
	network, err := addr.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return network
}

// LimitStats holds the current usage of the limits, and the number of refusals.
type LimitStats struct {
	Connections int
	Tokens      int // number of tokens in use
	Refused     map[Limit]uint64
	FilterBytes int // memory of subscribers' filters as counted toward the limits
}

// Stats returns the current counts.
func (m *Middleware) Stats() LimitStats {
	m.sessions.mu.Lock()
	defer m.sessions.mu.Unlock()
	s := LimitStats{
		Connections: m.sessions.connections,
		Tokens:      len(m.sessions.byHash),
		FilterBytes: m.sessions.filterBytes,
		Refused:     make(map[Limit]uint64, len(AllLimits)),
	}
	for limit, n := range m.sessions.refused {
		s.Refused[limit] = n.Load()
	}
	return s
}
