package auth

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// maxHops is how many forwarded addresses are looked at.
const maxHops = 32

// Proxies are the reverse proxies that are believed: the peer of a connection that is one of them
// says who the client is (X-Forwarded-For) and whether it came over TLS (X-Forwarded-Proto). They
// must append to the first or replace it, set the second, and keep the Host: X-Forwarded-Host and
// Forwarded are never read, since not every proxy that sets the others takes these away from a
// client. Nil believes nobody.
type Proxies struct {
	trusted []netip.Prefix
}

// NewProxies makes Proxies of addresses and CIDR prefixes; none gives nil. The error names each one
// that is neither, or that is every address.
func NewProxies(cidrs ...string) (*Proxies, error) {
	if len(cidrs) == 0 {
		return nil, nil
	}
	p := &Proxies{trusted: make([]netip.Prefix, 0, len(cidrs))}
	var faults []error
	for _, cidr := range cidrs {
		prefix, err := parsePrefix(cidr)
		if err != nil {
			faults = append(faults, fmt.Errorf("proxy %q: %w", cidr, err))
		}
		p.trusted = append(p.trusted, prefix)
	}
	if faults != nil {
		return nil, errors.Join(faults...)
	}
	return p, nil
}

// parsePrefix reads an address or a prefix. IPv4 within IPv6 is IPv4, as it is for peers.
func parsePrefix(s string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(s); err == nil && addr.Zone() == "" {
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, errors.New("want an IP address without a zone, or a prefix such as 10.0.0.0/8")
	}
	if prefix.Addr().Is4In6() {
		if prefix.Bits() < 96 {
			return netip.Prefix{}, errors.New("want at least 96 bits of an IPv4 address within IPv6")
		}
		prefix = netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-96)
	}
	if prefix.Bits() == 0 {
		return netip.Prefix{}, errors.New("is every address, and whoever connects could name any client; want the proxy's own, such as 10.0.0.0/8")
	}
	return prefix, nil
}

// Client gives the address of who asks: the peer of the connection, or, if that is a trusted proxy,
// the last forwarded address that is none. What is no address ends the search at the last good one,
// as whoever wrote it is not known. If all are trusted it is the first. It is an IPv4 address where
// it can be and has no zone; the zero Addr if the connection has none, as on a Unix socket.
func (p *Proxies) Client(r *http.Request) netip.Addr {
	client := peer(r)
	lines := r.Header["X-Forwarded-For"]
	hops := 0
	for i := len(lines) - 1; i >= 0; i-- {
		for rest, more := lines[i], true; more; hops++ {
			if hops == maxHops || !p.Trusts(client) {
				return client
			}
			comma := strings.LastIndexByte(rest, ',')
			hop, ok := parseHop(rest[comma+1:])
			if !ok {
				return client
			}
			client, rest, more = hop, rest[:max(comma, 0)], comma >= 0
		}
	}
	return client
}

// Secure reports whether the client came over TLS: to this process, or to a trusted proxy that says
// so in the last value of X-Forwarded-Proto.
func (p *Proxies) Secure(r *http.Request) bool {
	if r.TLS != nil || !p.Trusts(peer(r)) {
		return r.TLS != nil
	}
	said := list(r.Header["X-Forwarded-Proto"])
	return len(said) > 0 && strings.EqualFold(said[len(said)-1], "https")
}

// Trusts reports whether the address is one of them.
func (p *Proxies) Trusts(addr netip.Addr) bool {
	return p != nil && slices.ContainsFunc(p.trusted, func(prefix netip.Prefix) bool { return prefix.Contains(addr) })
}

// peer is the address at the other end of the connection.
func peer(r *http.Request) netip.Addr {
	addr, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return addr.Addr().Unmap().WithZone("")
}

// parseHop reads an address as proxies write it: with a port or without, one of IPv6 in brackets or
// not.
func parseHop(s string) (netip.Addr, bool) {
	s = strings.Trim(s, " \t")
	addr, err := netip.ParseAddr(s)
	if err != nil {
		if strings.HasSuffix(s, "]") {
			s += ":0"
		}
		var withPort netip.AddrPort
		withPort, err = netip.ParseAddrPort(s)
		addr = withPort.Addr()
	}
	return addr.Unmap().WithZone(""), err == nil
}
