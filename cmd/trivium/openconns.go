package main

import (
	"cmp"
	"container/list"
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/trivium-hub/trivium/auth"
)

// How many connections net/http may have beside those of subscribers, in all and of one address:
// of publishers, of probes, and of who has yet to say what it wants.
const (
	spareConnections           = 1024
	spareConnectionsPerAddress = 64
)

// openLimits bound the connections that net/http has; 0 is no limit.
type openLimits struct {
	total      int
	perAddress int // whether or not a token came on the connection
	// anonymousPerAddress bounds the connections of one address on which no token has come yet.
	anonymousPerAddress int
}

// anonymousShare is the part of all connections that one address may hold without a token.
const anonymousShare = 4

// newOpenLimits returns the limits that go with those of subscribers, where spare connections are
// kept for everything else.
func newOpenLimits(limits auth.ConnectionLimits, spare int) openLimits {
	var l openLimits
	if limits.Total > 0 {
		l.total = limits.Total + spare
		l.anonymousPerAddress = max(1, l.total/anonymousShare)
	}
	if limits.PerAddress > 0 {
		l.perAddress = limits.PerAddress + spareConnectionsPerAddress
	}
	return l
}

// logConnectionsEvery bounds how often the log repeats that connections run short.
const logConnectionsEvery = 10 * time.Second

// openConnections bounds the connections that net/http has, from before a request on them can be
// judged. Connections that a transport has hijacked are not counted: they have limits of their own.
//
// When nine tenths of the connections are in use, or nearly all file descriptors, the connection that
// has been idle longest is closed for each new one, so that idle connections keep nobody out. Where
// none is idle, it is one on which the hub waits for the rest of a request.
type openConnections struct {
	limits  openLimits
	proxies *auth.Proxies // whose connections are of many clients
	log     *slog.Logger

	fullLog, addressLog rate.Sometimes

	mu       sync.Mutex // guards what follows
	conns    map[net.Conn]*openConn
	networks map[netip.Prefix]*network
	waiting  [waitingQueues]list.List // of *openConn, the longest waiting first
	senders  map[string]int           // connections in the queue unfinished, by sender
	closing  int                      // connections in conns that have been closed to make room
	counts   openStats
}

// Queues of connections that wait for their peers, in the order in which they are closed.
const (
	idleAnonymous = iota // after a request, none had a token
	idleKnown            // after a request, one had a token
	// unfinished are those on which a request is not complete, and those whose request is served
	// without a token: such requests are short, unless the peer does not read the answer.
	unfinished
	waitingQueues
)

// network is what is counted of one address, or of one /64 of IPv6.
type network struct {
	prefix    netip.Prefix
	all       int
	anonymous int       // connections on which no token has come
	idle      list.List // of *openConn in the queue idleAnonymous, the longest waiting first
}

// openConn is one connection from its acceptance until it is closed or hijacked.
type openConn struct {
	conn    net.Conn
	network *network
	trusted bool        // the peer is a trusted proxy
	known   atomic.Bool // a request on it had a token

	// guarded by openConnections.mu

	sender    string // the token of the last request; the address if none had one
	serving   int    // requests with a token that are being served: several over HTTP/2
	receiving int    // of them, those that wait for a part of their body
	closing   bool
	queue     int           // of element
	element   *list.Element // in waiting; nil while the peer waits for the hub
	ofNetwork *list.Element // in network.idle
}

// openStats is what openConnections counted.
type openStats struct {
	open           int
	refused        uint64 // new connections, because of the limit on all
	refusedAddress uint64 // new connections, because of a limit on one address
	idleClosed     uint64 // idle connections, to make room for new ones
	slowClosed     uint64 // connections with an unfinished request, to make room for new ones
}

func newOpenConnections(limits openLimits, proxies *auth.Proxies, log *slog.Logger) *openConnections {
	return &openConnections{
		limits: limits, proxies: proxies, log: log,
		fullLog:    rate.Sometimes{Interval: logConnectionsEvery},
		addressLog: rate.Sometimes{Interval: logConnectionsEvery},
		conns:      make(map[net.Conn]*openConn),
		networks:   make(map[netip.Prefix]*network),
		senders:    make(map[string]int),
	}
}

// attach makes a server's connections count here.
func (o *openConnections) attach(server *http.Server) {
	server.ConnContext = o.connContext
	server.ConnState = o.connState
}

type openConnKey struct{}

// begin is the ConnContext of a server, which calls it before track with StateNew.
func (o *openConnections) connContext(ctx context.Context, conn net.Conn) context.Context {
	var peer netip.Addr
	if tcp, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		peer = tcp.AddrPort().Addr().Unmap()
	}
	prefix := auth.NetworkOf(peer)
	c := &openConn{conn: conn, trusted: o.proxies.Trusts(peer), sender: prefix.String()}
	o.mu.Lock()
	defer o.mu.Unlock()
	c.network = o.networks[prefix]
	if c.network == nil {
		c.network = &network{prefix: prefix}
		o.networks[prefix] = c.network
	}
	c.network.all++
	c.network.anonymous++
	o.conns[conn] = c
	return context.WithValue(ctx, openConnKey{}, c)
}

// track is the ConnState of a server.
func (o *openConnections) connState(conn net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		o.admit(conn)
	case http.StateActive, http.StateIdle:
		o.mu.Lock()
		defer o.mu.Unlock()
		c := o.conns[conn]
		if c == nil || c.closing {
			return
		}
		o.leaveQueue(c)
		switch {
		case state == http.StateActive:
			o.enqueue(c, unfinished) // until vouched knows better
		case c.known.Load():
			o.enqueue(c, idleKnown)
		default:
			o.enqueue(c, idleAnonymous)
		}
	case http.StateHijacked, http.StateClosed:
		o.mu.Lock()
		defer o.mu.Unlock()
		o.remove(conn)
	}
}

// admit lets a new connection stay or closes it. Where it can, it makes room for it by closing one
// that is idle.
func (o *openConnections) admit(conn net.Conn) {
	o.mu.Lock()
	c := o.conns[conn]
	var idle *openConn
	var refused bool
	open := len(o.conns) - o.closing
	switch n := c.network; {
	case !c.trusted && (over(n.anonymous, o.limits.anonymousPerAddress) || over(n.all, o.limits.perAddress)):
		if front := n.idle.Front(); front != nil {
			idle = o.closeEarly(front.Value.(*openConn))
		} else {
			refused = true
			o.counts.refusedAddress++
		}
		defer o.logAddress(n.prefix)
	case o.limits.total > 0 && open > o.limits.total-o.limits.total/10:
		if idle = o.takeOldest(); idle == nil && open > o.limits.total {
			refused = true
			o.counts.refused++
		}
		defer o.logFull()
	}
	if !refused {
		o.enqueue(c, unfinished)
	}
	o.mu.Unlock()
	switch {
	case idle != nil:
		closeAtOnce(idle.conn)
	case refused:
		closeAtOnce(conn) // net/http then reports StateClosed
	}
}

// over reports whether there are more than a limit allows, where 0 is none.
func over(count, limit int) bool { return limit > 0 && count > limit }

// makeRoom closes the connection that has been idle longest, and reports whether there was one.
func (o *openConnections) makeRoom() bool {
	defer o.logFull()
	o.mu.Lock()
	c := o.takeOldest()
	o.mu.Unlock()
	if c == nil {
		return false
	}
	closeAtOnce(c.conn)
	return true
}

// refuse counts a connection that was closed because no descriptor was left for it.
func (o *openConnections) refuse() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.counts.refused++
}

// oldest takes the connection that is to be closed first out of its queue; nil: the hub works on all
// of them. It is called with mu held, and the caller closes the connection without it.
func (o *openConnections) takeOldest() *openConn {
	for queue := range unfinished {
		if front := o.waiting[queue].Front(); front != nil {
			return o.closeEarly(front.Value.(*openConn))
		}
	}
	if c := o.slowest(); c != nil {
		return o.closeEarly(c)
	}
	return nil
}

// closeEarly counts a connection as closed; see oldest.
func (o *openConnections) closeEarly(c *openConn) *openConn {
	if c.queue == unfinished {
		o.counts.slowClosed++
	} else {
		o.counts.idleClosed++
	}
	o.leaveQueue(c)
	c.closing = true
	o.closing++
	return c
}

func (o *openConnections) enqueue(c *openConn, queue int) {
	c.queue, c.element = queue, o.waiting[queue].PushBack(c)
	switch queue {
	case idleAnonymous:
		c.ofNetwork = c.network.idle.PushBack(c)
	case unfinished:
		o.senders[c.sender]++
	}
}

func (o *openConnections) leaveQueue(c *openConn) {
	if c.element != nil {
		o.waiting[c.queue].Remove(c.element)
		c.element = nil
		if c.queue == unfinished {
			if o.senders[c.sender]--; o.senders[c.sender] == 0 {
				delete(o.senders, c.sender)
			}
		}
	}
	if c.ofNetwork != nil {
		c.network.idle.Remove(c.ofNetwork)
		c.ofNetwork = nil
	}
}

// forget ends what begin began.
func (o *openConnections) remove(conn net.Conn) {
	c := o.conns[conn]
	if c == nil {
		return
	}
	o.leaveQueue(c)
	delete(o.conns, conn)
	if c.closing {
		o.closing--
	}
	if !c.known.Load() {
		c.network.anonymous--
	}
	if c.network.all--; c.network.all == 0 {
		delete(o.networks, c.network.prefix)
	}
}

// logFull reports, now and then, that connections run short.
func (o *openConnections) logFull() {
	o.fullLog.Do(func() {
		s := o.stats()
		o.log.Error("too many connections: those that are idle or silent longest are closed, and new ones refused where there are none",
			"open", s.open, "limit", o.limits.total, "idle_closed", s.idleClosed, "slow_closed", s.slowClosed, "refused", s.refused)
	})
}

// logAddress reports, now and then, that an address has all the connections it may have.
func (o *openConnections) logAddress(of netip.Prefix) {
	o.addressLog.Do(func() {
		s := o.stats()
		o.log.Warn("too many connections of one address: those that are idle or silent longest are closed, and new ones refused where there are none",
			"address", of.String(), "limit", cmp.Or(o.limits.perAddress, o.limits.anonymousPerAddress),
			"idle_closed", s.idleClosed, "refused", s.refusedAddress)
	})
}

// stats returns what was counted up to now.
func (o *openConnections) stats() openStats {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := o.counts
	s.open = len(o.conns)
	return s
}

// closeAtOnce closes a connection without the last words of TLS, which might wait for the peer.
func closeAtOnce(conn net.Conn) {
	if secured, ok := conn.(*tls.Conn); ok {
		conn = secured.NetConn()
	}
	conn.Close()
}
