package main

import (
	"net"
	"net/http"
	"net/netip"
	"sync"

	"github.com/trivium-hub/trivium/auth"
)

// How many connections net/http may have beside those of subscribers, in all and of one address:
// of publishers, of probes, and of who has yet to say what it wants.
const (
	spareConnections           = 1024
	spareConnectionsPerAddress = 64
)

// openConnections bounds the connections that net/http has, from before a request on them can be
// judged. Those that were taken from it are a transport's, and have a limit of their own.
type openConnections struct {
	total, perAddress int           // 0: none
	proxies           *auth.Proxies // whose connections are of many

	mu      sync.Mutex // guards what follows
	open    map[net.Conn]netip.Prefix
	of      map[netip.Prefix]int
	refused uint64
}

func newOpenConnections(limits auth.ConnectionLimits, proxies *auth.Proxies) *openConnections {
	o := &openConnections{proxies: proxies, open: make(map[net.Conn]netip.Prefix), of: make(map[netip.Prefix]int)}
	if limits.Total > 0 {
		o.total = limits.Total + spareConnections
	}
	if limits.PerAddress > 0 {
		o.perAddress = limits.PerAddress + spareConnectionsPerAddress
	}
	return o
}

// track is the ConnState of a server.
func (o *openConnections) track(conn net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		if !o.let(conn) {
			conn.Close() // it is told StateClosed of it
		}
	case http.StateHijacked, http.StateClosed:
		o.mu.Lock()
		defer o.mu.Unlock()
		network := o.open[conn]
		delete(o.open, conn)
		if o.of[network]--; o.of[network] <= 0 {
			delete(o.of, network)
		}
	}
}

// let counts a connection, and reports whether it may stay.
func (o *openConnections) let(conn net.Conn) bool {
	var peer netip.Addr
	if tcp, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		peer = tcp.AddrPort().Addr().Unmap()
	}
	network := auth.NetworkOf(peer)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.open[conn] = network
	o.of[network]++
	tooMany := o.total > 0 && len(o.open) > o.total ||
		o.perAddress > 0 && o.of[network] > o.perAddress && !o.proxies.Trusts(peer)
	if tooMany {
		o.refused++
	}
	return !tooMany
}

// stats gives how many there are, and how many were refused.
func (o *openConnections) stats() (open int, refused uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.open), o.refused
}
