package auth

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// maxHops is the maximum number of forwarded addresses that are examined.
const maxHops = 32

// Proxies are the trusted reverse proxies. If the peer of a connection is one of them, it
// determines the client's address (X-Forwarded-For) and whether the client uses TLS
// (X-Forwarded-Proto). A proxy must append to or replace the first, set the second, and keep the
// Host. X-Forwarded-Host and Forwarded are never read, since not every proxy removes them from a
// client's request. Nil trusts no proxy.
type Proxies struct {
	trusted []netip.Prefix
}

// NewProxies returns Proxies for addresses and CIDR prefixes; nil for none. The error names each
// invalid entry, and each that contains all addresses.
func NewProxies(cidrs ...string) (*Proxies, error) {
	if len(cidrs) == 0 {
		return nil, nil
	}
	p := &Proxies{trusted: make([]netip.Prefix, 0, len(cidrs))}
	var faults []error
	for _, cidr := range cidrs {
		prefix, err := ParseNetwork(cidr)
		if err == nil && prefix.Bits() == 0 {
			err = errors.New("contains all addresses, so any client could claim any address; want the proxy's own, such as 10.0.0.0/8")
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("proxy %q: %w", cidr, err))
		}
		p.trusted = append(p.trusted, prefix)
	}
	for _, whole := range []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")} {
		if faults == nil && covered(whole, p.trusted) {
			faults = append(faults, errors.New("the proxies together contain all addresses, so any client could claim any address"))
		}
	}
	if faults != nil {
		return nil, errors.Join(faults...)
	}
	return p, nil
}

// covered reports whether the prefixes together contain all addresses of p.
func covered(p netip.Prefix, by []netip.Prefix) bool {
	divided := false // whether one of them contains a part of p
	for _, b := range by {
		if b.Bits() <= p.Bits() && b.Contains(p.Addr()) {
			return true
		}
		divided = divided || p.Contains(b.Addr())
	}
	if !divided {
		return false
	}
	lower := netip.PrefixFrom(p.Addr(), p.Bits()+1)
	bytes := p.Addr().AsSlice()
	bytes[p.Bits()/8] |= 0x80 >> (p.Bits() % 8)
	upper, _ := netip.AddrFromSlice(bytes)
	return covered(lower, by) && covered(netip.PrefixFrom(upper, lower.Bits()), by)
}

// ParseNetwork parses an IP address without a zone, or a prefix such as 10.0.0.0/8. IPv4 mapped to IPv6 becomes IPv4.
func ParseNetwork(s string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(s); err == nil && addr.Zone() == "" {
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("want an IP address without a zone, or a prefix such as 10.0.0.0/8 or fd00::/8, got %q", s)
	}
	if prefix.Addr().Is4In6() {
		if prefix.Bits() < 96 { // no address would match
			return netip.Prefix{}, fmt.Errorf("want at least 96 bits of an IPv4 address within IPv6, got %q", s)
		}
		prefix = netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-96)
	}
	return prefix, nil
}

// Client returns the client's address: the peer of the connection or, if that is a trusted proxy,
// the last forwarded address that is not trusted. If all are trusted it is the first. An entry that
// is no address ends the search at the address before it, since its author is unknown. The result
// is an IPv4 address where possible and has no zone. It is the zero Addr if the connection has no
// address, as on a Unix socket.
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

// Secure reports whether the client uses TLS: to this process, or to a trusted proxy by the last
// value of X-Forwarded-Proto.
func (p *Proxies) Secure(r *http.Request) bool {
	if r.TLS != nil || !p.Trusts(peer(r)) {
		return r.TLS != nil
	}
	said := listElements(r.Header["X-Forwarded-Proto"])
	return len(said) > 0 && strings.EqualFold(said[len(said)-1], "https")
}

// Trusts reports whether the address is a trusted proxy.
func (p *Proxies) Trusts(addr netip.Addr) bool {
	return p != nil && slices.ContainsFunc(p.trusted, func(prefix netip.Prefix) bool { return prefix.Contains(addr) })
}

// peer returns the remote address of the connection.
func peer(r *http.Request) netip.Addr {
	addr, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return addr.Addr().Unmap().WithZone("")
}

// parseHop parses an address as proxies write it, with or without port and brackets.
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
