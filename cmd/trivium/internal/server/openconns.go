package server

import (
	"cmp"
	"container/list"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/trivium-hub/trivium/auth"
	"github.com/trivium-hub/trivium/transports"
)

// spareConnectionsPerAddress is the number of connections that one address may open in addition to
// its limit of subscribers. They are for publishers, health probes, and connections that have not
// sent a request yet.
const spareConnectionsPerAddress = 64

// openLimits are the limits of the connections that net/http serves; 0 means no limit.
type openLimits struct {
	total      int
	perAddress int // limit per address, for connections with and without a token
	// anonymousPerAddress is the limit per address for connections on which no request has
	// contained a token yet.
	anonymousPerAddress int
}

// anonymousShare is the number by which the total limit is divided to get anonymousPerAddress.
const anonymousShare = 4

// newOpenLimits returns the limits of connections: the limits of subscribers, plus spare connections
// for other requests.
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

// logConnectionsEvery is the minimum interval between two log lines about too many connections.
const logConnectionsEvery = 10 * time.Second

// openConnections limits the connections that net/http serves. A connection is counted from its acceptance until it is
// closed or a transport hijacks it. Hijacked connections have other limits; see package auth.
//
// When nine tenths of the connections or nearly all file descriptors are in use, openConnections closes one connection
// for each new one, so that idle connections cannot keep new clients out. It closes the connection that has been idle
// longest. If none is idle, it closes a connection on which the hub waits for the rest of a request.
type openConnections struct {
	limits  openLimits
	proxies *auth.Proxies // the limit per address does not apply to them, because they forward the requests of many clients
	log     *slog.Logger

	fullLog, addressLog rate.Sometimes
	handshakes          sync.WaitGroup // the goroutines of startHandshake

	mu       sync.Mutex // guards the fields below
	conns    map[net.Conn]*openConn
	networks map[netip.Prefix]*network
	waiting  [waitingQueues]list.List // elements are *openConn; the first one has waited longest
	senders  map[string]int           // number of connections in the queue unfinished by sender
	closing  int                      // number of connections in conns that are being closed to make room
	counts   openStats
}

// These are the queues of connections on which the hub waits for the peer. Connections in an earlier
// queue are closed before connections in a later one.
const (
	idleAnonymous = iota // connections between two requests, on which no request has had a token
	idleKnown            // connections between two requests, on which a request has had a token
	// unfinished contains connections whose request is incomplete, and connections on which a request without a token
	// is being served: such a request takes a short time, unless the peer does not read the response.
	unfinished
	waitingQueues
)

// network holds the counts of connections from one IPv4 address or one IPv6 /64 prefix.
type network struct {
	prefix    netip.Prefix
	all       int
	anonymous int       // number of connections on which no request has had a token
	idle      list.List // elements are *openConn in the queue idleAnonymous; the first one has waited longest
}

// openConn is one connection from its acceptance until it is closed or hijacked.
type openConn struct {
	conn    net.Conn
	network *network
	trusted bool        // the peer is a trusted proxy
	known   atomic.Bool // a request on this connection has had a token

	// openConnections.mu guards the following fields.

	active    bool   // a part of the first request has been read
	sender    string // the token of the last request, or the address if no request has had a token
	serving   int    // number of requests that trackServing is serving; can be more than one with HTTP/2
	receiving int    // number of these requests that wait for a part of their body
	closing   bool
	queue     int           // index in waiting of the queue that contains element
	element   *list.Element // entry in a queue of waiting; nil: the hub does not wait for the peer
	ofNetwork *list.Element // entry in network.idle
}

// openStats are the counters of openConnections.
type openStats struct {
	open           int
	refused        uint64 // new connections refused because of the total limit
	refusedAddress uint64 // new connections refused because of a limit per address
	idleClosed     uint64 // idle connections closed to make room for new ones
	slowClosed     uint64 // connections whose request was unfinished, closed to make room for new ones
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

// attach sets the hooks of a server so that its connections are counted and limited.
func (o *openConnections) attach(server *http.Server) {
	server.ConnContext = o.connContext
	server.ConnState = o.connState
}

// openConnKey is the context key of a request's net.Conn.
type openConnKey struct{}

// connContext implements http.Server.ConnContext. It does not register the connection, because the long-poll transport
// calls it again for connections that it has hijacked.
func (o *openConnections) connContext(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, openConnKey{}, conn)
}

// connOf returns the registered connection of a request's context, or nil if there is none.
func (o *openConnections) connOf(ctx context.Context) *openConn {
	conn, _ := ctx.Value(openConnKey{}).(net.Conn)
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.conns[conn]
}

// add registers a new connection.
func (o *openConnections) add(conn net.Conn) {
	var peer netip.Addr
	if tcp, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		peer = tcp.AddrPort().Addr().Unmap()
	}
	prefix := auth.NetworkOf(peer)
	c := &openConn{conn: conn, trusted: o.proxies.Trusts(peer), sender: prefix.String()}
	c.known.Store(transports.WasParked(conn)) // a connection that the long-poll transport returns had a request before
	o.mu.Lock()
	defer o.mu.Unlock()
	c.network = o.networks[prefix]
	if c.network == nil {
		c.network = &network{prefix: prefix}
		o.networks[prefix] = c.network
	}
	c.network.all++
	if !c.known.Load() {
		c.network.anonymous++
	}
	o.conns[conn] = c
}

// connState implements http.Server.ConnState.
func (o *openConnections) connState(conn net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		o.add(conn)
		o.admit(conn)
		o.startHandshake(conn)
	case http.StateActive, http.StateIdle:
		o.mu.Lock()
		defer o.mu.Unlock()
		c := o.conns[conn]
		if c == nil || c.closing {
			return
		}
		if state == http.StateActive && !c.active {
			c.active = true
			transports.ReleaseTLSBuffers(conn)
		}
		o.leaveQueue(c)
		switch {
		case state == http.StateActive:
			o.enqueue(c, unfinished) // trackServing removes it when the request is authorized
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

// admit keeps a new connection or closes it. If a limit is reached, it first tries to close another
// connection instead: one on which the hub waits for the peer.
func (o *openConnections) admit(conn net.Conn) {
	o.mu.Lock()
	c := o.conns[conn]
	var victim *openConn
	var refused bool
	open := len(o.conns) - o.closing
	switch n := c.network; {
	case !c.trusted && (over(n.anonymous, o.limits.anonymousPerAddress) || over(n.all, o.limits.perAddress)):
		if front := n.idle.Front(); front != nil {
			victim = o.closeEarly(front.Value.(*openConn))
		} else {
			refused = true
			o.counts.refusedAddress++
		}
		defer o.logAddress(n.prefix)
	case o.limits.total > 0 && open > o.limits.total-o.limits.total/10:
		if victim = o.takeOldest(); victim == nil && open > o.limits.total {
			refused = true
			o.counts.refused++
		}
		defer o.logFull()
	}
	switch {
	case refused:
	case c.known.Load():
		o.enqueue(c, idleKnown)
	default:
		o.enqueue(c, unfinished)
	}
	o.mu.Unlock()
	switch {
	case victim != nil:
		closeAtOnce(victim.conn)
	case refused:
		closeAtOnce(conn) // net/http then calls connState with StateClosed
	}
}

// over reports whether a count exceeds a limit; a limit of 0 means no limit.
func over(count, limit int) bool { return limit > 0 && count > limit }

// makeRoom closes the connection that must be closed first, and reports whether there was one.
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

// refuse counts a new connection that the acceptor has closed because there are too few file
// descriptors.
func (o *openConnections) refuse() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.counts.refused++
}

// takeOldest returns the connection that must be closed first and removes it from its queue. It returns nil
// if all queues are empty. The caller holds mu, and closes the connection after it has released mu.
func (o *openConnections) takeOldest() *openConn {
	if c := o.takeIdle(); c != nil {
		return c
	}
	if c := o.slowest(); c != nil {
		return o.closeEarly(c)
	}
	return nil
}

// closeEarly marks and counts a connection that is closed to make room, and returns it. The caller holds mu, and closes
// the connection after it has released mu.
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

// enqueue appends a connection to a queue. The caller holds mu.
func (o *openConnections) enqueue(c *openConn, queue int) {
	c.queue, c.element = queue, o.waiting[queue].PushBack(c)
	switch queue {
	case idleAnonymous:
		c.ofNetwork = c.network.idle.PushBack(c)
	case unfinished:
		o.senders[c.sender]++
	}
}

// leaveQueue removes a connection from its queue, if it is in one. The caller holds mu.
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

// remove removes a connection. The caller holds mu.
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

// logFull logs that the limit of all connections is nearly reached, at most once per logConnectionsEvery.
func (o *openConnections) logFull() {
	o.fullLog.Do(func() {
		s := o.stats()
		o.log.Error("too many connections: closing the longest idle or silent connection for each new one, or refusing the new one if there is none",
			"open", s.open, "limit", o.limits.total, "idle_closed", s.idleClosed, "slow_closed", s.slowClosed, "refused", s.refused)
	})
}

// logAddress logs that an address has reached its limit of connections, at most once per logConnectionsEvery.
func (o *openConnections) logAddress(of netip.Prefix) {
	o.addressLog.Do(func() {
		s := o.stats()
		o.log.Warn("too many connections of one address: closing its longest idle connection for each new one, or refusing the new one if there is none",
			"address", of.String(), "limit", cmp.Or(o.limits.perAddress, o.limits.anonymousPerAddress),
			"idle_closed", s.idleClosed, "refused", s.refusedAddress)
	})
}

// stats returns the current counts.
func (o *openConnections) stats() openStats {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := o.counts
	s.open = len(o.conns)
	return s
}

// closeAtOnce shuts a connection down without sending the close alert of TLS, because this could block. It
// does not close the descriptor; net/http does, or the transport that has just hijacked the connection. This
// transport writes to the descriptor's number: if closeAtOnce closed the descriptor, a new connection could
// get the same number and receive the events of the old one.
func closeAtOnce(conn net.Conn) {
	if secured, ok := conn.(*tls.Conn); ok {
		conn = secured.NetConn()
	}
	half, ok := conn.(interface {
		CloseRead() error
		CloseWrite() error
	})
	// An error other than errors.ErrUnsupported means that the connection is already closed.
	if !ok || errors.Is(errors.Join(half.CloseRead(), half.CloseWrite()), errors.ErrUnsupported) {
		conn.Close()
	}
}
