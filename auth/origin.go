package auth

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// page is what the Origin says of who asks.
type page int

const (
	noPage      page = iota // there is none: no browser, or a request as it sends without one
	samePage                // a page of the hub's own origin
	allowedPage             // a page of another one that is allowed
	foreignPage
)

// pageOf reads the Origin. Two lines of it are foreign, though both be good: a browser sends one.
func (m *Middleware) pageOf(r *http.Request) page {
	lines := r.Header["Origin"]
	switch {
	case len(lines) == 0:
		return noPage
	case len(lines) > 1:
		return foreignPage
	case sameOrigin(lines[0], r.Host, m.config.Proxies.Secure(r)):
		return samePage
	case m.config.Origins.allows(lines[0]):
		return allowedPage
	}
	return foreignPage
}

// ofOwnPage reports whether the browser, if it is one, says that no page of another origin makes the
// request: a page of the hub's own does, or the user.
func ofOwnPage(r *http.Request) bool {
	site := r.Header["Sec-Fetch-Site"]
	return len(site) == 0 || len(site) == 1 && (site[0] == "same-origin" || site[0] == "none")
}

// allows reports whether the policy lets a request pass that has no Origin.
func (c CrossSite) allows(r *http.Request) bool {
	return c == CrossSiteAllowed || ofOwnPage(r) || c == CrossSiteNavigation && isNavigation(r)
}

// isNavigation reports whether the browser asks for a page to show by itself, not within another.
func isNavigation(r *http.Request) bool {
	return (r.Method == http.MethodGet || r.Method == http.MethodHead) &&
		r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document"
}

// ownOrigin returns the hub's own origin, as far as it can tell from the request.
func (m *Middleware) ownOrigin(r *http.Request) string {
	if m.config.Proxies.Secure(r) {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// sameOrigin reports whether a page of the origin stands on the host that it asks: scheme, host and
// port (RFC 6454 section 5). A port left out is the one of the scheme.
func sameOrigin(origin, wanted string, secure bool) bool {
	scheme, authority, _ := strings.Cut(origin, "://")
	wantScheme, defaultPort := "http", "80"
	if secure {
		wantScheme, defaultPort = "https", "443"
	}
	originHost, originPort, originOK := splitHost(authority)
	host, port, hostOK := splitHost(wanted)
	return strings.EqualFold(scheme, wantScheme) && originOK && hostOK && originHost == host &&
		cmp.Or(originPort, defaultPort) == cmp.Or(port, defaultPort)
}

// HostPolicy names the hosts by which a hub may be reached, whatever the port. A page whose name
// an attacker has bent to a local address (DNS rebinding) is of the same origin as what it asks
// for; only its name gives it away. Nil lets every name pass.
type HostPolicy struct {
	names map[string]bool
}

// NewHostPolicy makes a policy of the names beside the loopback ones and the address that a
// connection came in on, each with or without a port. The error names the one that is no host.
func NewHostPolicy(names ...string) (*HostPolicy, error) {
	policy := &HostPolicy{names: make(map[string]bool, len(names))}
	for _, name := range names {
		host := name
		if addr, err := netip.ParseAddr(name); err == nil {
			host = addr.String() // an IPv6 address may stand without brackets here
		} else if host, _, err = parseHost(name); err != nil {
			return nil, fmt.Errorf("host %q: %w", name, err)
		}
		policy.names[strings.TrimSuffix(host, ".")] = true
	}
	return policy, nil
}

// Check gives ErrHost if the request is for a host that the policy does not know. A request of
// HTTP/1.0 may name none; browsers don't speak it.
func (p *HostPolicy) Check(r *http.Request) error {
	if p == nil || r.Host == "" && !r.ProtoAtLeast(1, 1) {
		return nil
	}
	host, _, ok := splitHost(r.Host)
	host = strings.TrimSuffix(host, ".")
	switch {
	case !ok:
		return ErrHost
	case p.names[host], host == "localhost", strings.HasSuffix(host, ".localhost"): // RFC 6761
		return nil
	}
	addr, err := netip.ParseAddr(host)
	if err == nil && (addr.Unmap().IsLoopback() || addr.Unmap() == localAddr(r)) {
		return nil
	}
	return ErrHost
}

// localAddr is the address at which the connection of the request came in, the zero Addr if
// that is not of TCP.
func localAddr(r *http.Request) netip.Addr {
	tcp, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return tcp.AddrPort().Addr().Unmap().WithZone("")
}

// splitHost is parseHost for where the reason does not matter.
func splitHost(s string) (host, port string, ok bool) {
	host, port, err := parseHost(s)
	return host, port, err == nil
}

// parseHost takes apart "host" or "host:port", strictly, so that nothing but these two passes as
// one of them: no user, no path, no escape. The host is given in lower case, an IPv6 address
// without brackets.
func parseHost(s string) (host, port string, err error) {
	host, port, hasPort := strings.Cut(s, ":")
	if bracketed, ok := strings.CutPrefix(s, "["); ok {
		inside, rest, closed := strings.Cut(bracketed, "]")
		addr, err := netip.ParseAddr(inside)
		if err != nil || !closed || !addr.Is6() || addr.Zone() != "" {
			return "", "", errors.New("between brackets stands an IPv6 address")
		}
		host = addr.String()
		if port, hasPort = strings.CutPrefix(rest, ":"); !hasPort && rest != "" {
			return "", "", errors.New("after an address stands a port or nothing")
		}
	}
	if host == "" || strings.ContainsFunc(host, notInHost) {
		return "", "", errors.New("a host is a name of ASCII letters, digits, - _ and dots, or an IP address")
	}
	if hasPort && strings.Trim(port, "0123456789") != "" {
		return "", "", errors.New("a port is a number")
	}
	return strings.ToLower(host), port, nil
}

// notInHost leaves names in ASCII, for which lower case is one thing.
func notInHost(r rune) bool {
	switch {
	case 'A' <= r && r <= 'Z', 'a' <= r && r <= 'z', '0' <= r && r <= '9':
		return false
	}
	return !strings.ContainsRune("-_.:", r)
}
