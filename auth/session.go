package auth

import (
	"context"
	"crypto/sha256"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trivium-hub/trivium/hub"
)

// lease is a token in use: all requests and connections that came with one token share it, so that
// an end or a change is looked for by token and not by connection.
type tokenSession struct {
	grant     atomic.Pointer[hub.Grant] // now; nil: taken back
	sender    string                    // static: the token's hash; "" for everybody of an open hub
	connects  meter                     // static, safe for use by several
	publishes meter                     // static, safe for use by several

	// guarded by leases.mu
	credential  *Credential
	requests    int                 // being served
	holders     map[hub.Holder]bool // true: counted as a connection
	connections int

	sets        map[string]*filterUse     // by FilterSet.Key; those that are counted
	filters     map[hub.Holder]*filterUse // of each holder
	filterBytes int                       // of sets
}

// leases are the tokens in use, and the connections that use them.
type sessionTable struct {
	limits  ConnectionLimits // static
	refused map[Limit]*atomic.Uint64

	mu          sync.Mutex // guards what follows
	byHash      map[[sha256.Size]byte]*tokenSession
	reviews     int // of all leases, so far
	connections int
	filterBytes int                  // of all leases
	addresses   map[netip.Prefix]int // connections of each

	paused func() // for tests: called by each when it has released mu; static
}

func newLeases(limits ConnectionLimits) *sessionTable {
	l := &sessionTable{
		limits:    limits,
		refused:   make(map[Limit]*atomic.Uint64),
		byHash:    make(map[[sha256.Size]byte]*tokenSession),
		addresses: make(map[netip.Prefix]int),
	}
	for _, limit := range AllLimits {
		l.refused[limit] = new(atomic.Uint64)
	}
	return l
}

// reviewed is a count to be read before a token is judged, and given to of with what came out.
func (l *sessionTable) reviewed() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.reviews
}

// of gives the lease of the token, for a request that is to end with done. If what tokens are
// judged by has changed since, the credential is reviewed first: whoever reviews all leases does
// not know of this one yet.
func (l *sessionTable) of(c *Credential, reviews int, verifier Verifier) (*tokenSession, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if reviews != l.reviews {
		var err error
		if c, err = verifier.Recheck(c); err != nil {
			return nil, err
		}
	}
	if ended(c, time.Now()) {
		return nil, ErrTokenEnded
	}
	known := l.byHash[c.Hash]
	if known == nil || known.grant.Load() == nil {
		known = &tokenSession{
			credential: c,
			sender:     senderOf(c),
			connects:   newMeter(c.Limits.ConnectRate),
			publishes:  newMeter(c.Limits.PublishRate),
			holders:    make(map[hub.Holder]bool),
		}
		known.grant.Store(c.Grant)
		l.byHash[c.Hash] = known
	}
	known.requests++
	return known, nil
}

// done ends what of began: the lease may be forgotten if nobody else uses it.
func (l *sessionTable) done(lease *tokenSession) {
	l.mu.Lock()
	defer l.mu.Unlock()
	lease.requests--
}

func ended(c *Credential, now time.Time) bool {
	return !c.Expires.IsZero() && !now.Before(c.Expires)
}

// Access is what one request may do, for as long as its token holds. It may be used by several
// goroutines at once, but for Hold and Release of one holder.
type Access struct {
	middleware *Middleware
	session    *tokenSession
	network    netip.Prefix // of the client
	renews     *Access      // whose connection this is to take over, until it has
}

// Grant is what may be done now; nil: nothing any more, or on a nil Access.
func (a *Access) Grant() *hub.Grant {
	if a == nil {
		return nil
	}
	return a.session.grant.Load()
}

// Sender names who sends: the token, or on an open hub the client's address.
func (a *Access) Sender() string {
	if a.session.sender != "" {
		return a.session.sender
	}
	return a.network.String()
}

func senderOf(c *Credential) string {
	if c.Hash == ([sha256.Size]byte{}) {
		return ""
	}
	return string(c.Hash[:])
}

// Hold lets a connection in: it is counted, and h is told when what is granted changes, until
// Release. The error is ErrTokenEnded or a *LimitError.
func (a *Access) Acquire(h hub.Holder) error {
	all := a.middleware.sessions
	all.mu.Lock()
	defer all.mu.Unlock()
	if a.session.grant.Load() == nil {
		return ErrTokenEnded
	}
	limits := a.session.credential.Limits
	if over(a.session.connections, limits.Connections) && (a.renews == nil || a.renews.session != a.session) {
		return all.refuse(LimitConnectionsPerToken, limits.Connections, 0)
	}
	if a.renews != nil {
		if use := a.renews.session.filters[h]; use != nil && a.renews.session != a.session {
			if err := all.use(a.session, h, use.set); err != nil {
				return err
			}
			all.unuse(a.renews.session, h)
		}
		a.renews.part(h)
		a.renews = nil
		a.join(h)
		return nil
	}
	switch {
	case over(all.connections, all.limits.Total):
		return all.refuse(LimitConnections, all.limits.Total, 0)
	case over(all.addresses[a.network], all.limits.PerAddress):
		return all.refuse(LimitConnectionsPerAddress, all.limits.PerAddress, 0)
	}
	if err := a.AdmitSubscription(); err != nil {
		return err
	}
	a.join(h)
	all.connections++
	all.addresses[a.network]++
	return nil
}

// over reports whether one more would be too many.
func over(count, limit int) bool { return limit > 0 && count >= limit }

func (l *sessionTable) refuse(limit Limit, value int, retry time.Duration) error {
	l.refused[limit].Add(1)
	return &LimitError{Limit: limit, Value: value, RetryAfter: retry}
}

func (a *Access) join(h hub.Holder) {
	a.session.holders[h] = true
	a.session.connections++
}

func (a *Access) leave(h hub.Holder) {
	a.middleware.sessions.unuse(a.session, h)
	a.part(h)
}

// part is leave for a holder whose filters go on to be used.
func (a *Access) part(h hub.Holder) {
	if a.session.holders[h] {
		a.session.connections--
	}
	delete(a.session.holders, h)
}

// Watch is Hold for what is no connection of a subscriber: it is told, but not counted.
func (a *Access) AcquireUncounted(h hub.Holder) error {
	a.middleware.sessions.mu.Lock()
	defer a.middleware.sessions.mu.Unlock()
	if a.session.grant.Load() == nil {
		return ErrTokenEnded
	}
	a.session.holders[h] = false
	return nil
}

// Release ends what Hold or Watch began.
func (a *Access) Release(h hub.Holder) {
	all := a.middleware.sessions
	all.mu.Lock()
	defer all.mu.Unlock()
	counted, held := a.session.holders[h]
	if !held {
		return
	}
	a.leave(h)
	if !counted {
		return
	}
	all.connections--
	if all.addresses[a.network]--; all.addresses[a.network] == 0 {
		delete(all.addresses, a.network)
	}
}

// Subscribe counts the beginning of a subscription toward the rate of the token; Hold does so
// itself. The error is a *LimitError.
func (a *Access) AdmitSubscription() error {
	if wait, ok := a.session.connects.take(1); !ok {
		return a.middleware.sessions.refuse(LimitConnectRate, a.session.connects.Burst(), wait)
	}
	return nil
}

// Publish counts events toward the rate of the token, all of them or none. The error is a
// *LimitError.
func (a *Access) AdmitPublish(events int) error {
	if wait, ok := a.session.publishes.take(events); !ok {
		return a.middleware.sessions.refuse(LimitPublishRate, a.session.publishes.Burst(), wait)
	}
	return nil
}

// AwaitPublish waits until some of the events may be published, and says how many.
func (a *Access) WaitPublish(ctx context.Context, events int) (int, error) {
	if burst := a.session.publishes.Burst(); burst > 0 {
		events = min(events, burst)
	}
	return events, a.session.publishes.WaitN(ctx, events)
}

// Renew judges a fresh token for a connection. The Hold of what it gives takes over the connection
// that a holds; until then nothing has changed. Done must follow.
func (a *Access) Renew(token string) (*Access, error) {
	fresh, err := a.middleware.access(token)
	if err != nil {
		return nil, err
	}
	fresh.network, fresh.renews = a.network, a
	return fresh, nil
}

// Done ends the use of what Renew gave, but for what is held by it.
func (a *Access) Done() { a.middleware.sessions.done(a.session) }

// NetworkOf is what of an address counts toward limits: of IPv6 the first 64 bits. The zero Prefix
// stands for what has none.
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

// LimitStats is what counts toward limits, and what they refused.
type LimitStats struct {
	Connections int
	Tokens      int // in use
	Refused     map[Limit]uint64
	FilterBytes int // of subscribers' filters, as far as they are counted
}

// Stats counts up to now.
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
