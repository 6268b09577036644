package auth

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// maxHops is the maximum number of addresses in X-Forwarded-For that are examined.
const maxHops = 32

// Proxies are the trusted reverse proxies. If the peer of a connection is one of them, its headers
// determine the client's address (X-Forwarded-For) and whether the client uses TLS
// (X-Forwarded-Proto). A proxy must append to or replace X-Forwarded-For, set X-Forwarded-Proto,
// and keep the Host. X-Forwarded-Host and Forwarded are never read, because not every proxy removes
// them from a client's request. A nil Proxies trusts no proxy.
type Proxies struct {
	trusted []netip.Prefix
}

// NewProxies returns Proxies for addresses and CIDR prefixes, or nil if there are none. The error
// names each entry that is invalid or contains all addresses.
func NewProxies(cidrs ...string) (*Proxies, error) {
	if len(cidrs) == 0 {
		return nil, nil
	}
	p := &Proxies{trusted: make([]netip.Prefix, 0, len(cidrs))}
	var faults []error
	for _, cidr := range cidrs {
		prefix, err := ParseNetwork(cidr)
		if err == nil && prefix.Bits() == 0 {
			err = errors.New("contains all addresses, so any client could claim any address; want the addresses of your proxies only, such as 10.0.0.0/8")
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

// covered reports whether each address of the prefix p is in at least one prefix of the list by.
func covered(p netip.Prefix, by []netip.Prefix) bool {
	divided := false // whether a prefix begins within p
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

// ParseNetwork parses an IP address without a zone, or a prefix such as 10.0.0.0/8. It converts an
// IPv4 address mapped to IPv6 to IPv4.
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
			return netip.Prefix{}, fmt.Errorf("want a prefix length of at least 96 for an IPv4 address in the IPv6 form ::ffff:a.b.c.d, got %q", s)
		}
		prefix = netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-96)
	}
	return prefix, nil
}

// Client returns the client's address. Usually that is the peer of the connection. If the peer is a
// trusted proxy, it is the last address in X-Forwarded-For that is not a trusted proxy, or the
// first address if all are trusted. Client examines the entries from the last to the first. An
// entry that is not an address ends the search: the entries before it cannot be trusted, so the
// entry after it is returned. The result is an IPv4 address where possible, and has no zone. It is
// the zero Addr if the connection has no address, such as a Unix socket.
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

// Secure reports whether the client uses TLS: the connection to this process uses TLS or, if the
// peer is a trusted proxy, the last value of X-Forwarded-Proto is https.
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

// parseHop parses an address in the formats that proxies use: with or without port and brackets.
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
