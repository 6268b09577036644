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

// originKind classifies the Origin of a request.
type originKind int

const (
	noOrigin       originKind = iota // no Origin: sent by a program, or by a browser that omits it for this kind of request
	sameOriginPage                   // a page of the hub's own origin
	allowedOrigin                    // a page of another origin that is allowed
	foreignOrigin
)

// originKindOf returns the kind of a request's Origin. Two Origin headers count as foreign, because
// browsers send only one.
func (m *Middleware) originKindOf(r *http.Request) originKind {
	lines := r.Header["Origin"]
	switch {
	case len(lines) == 0:
		return noOrigin
	case len(lines) > 1:
		return foreignOrigin
	case sameOrigin(lines[0], r.Host, m.config.Proxies.Secure(r)):
		return sameOriginPage
	case m.config.Origins.allows(lines[0]):
		return allowedOrigin
	}
	return foreignOrigin
}

// notCrossSite reports whether, according to Sec-Fetch-Site, the request was caused by a page of
// the hub's own origin, or directly by the user. It also returns true if that header is missing.
func notCrossSite(r *http.Request) bool {
	site := r.Header["Sec-Fetch-Site"]
	return len(site) == 0 || len(site) == 1 && (site[0] == "same-origin" || site[0] == "none")
}

// allows reports whether the policy accepts a request that has no Origin.
func (c CrossSite) allows(r *http.Request) bool {
	return c == CrossSiteAllowed || notCrossSite(r) || c == CrossSiteNavigation && isNavigation(r)
}

// isNavigation reports whether the request loads a top-level page in a browser.
func isNavigation(r *http.Request) bool {
	return (r.Method == http.MethodGet || r.Method == http.MethodHead) &&
		r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document"
}

// ownOrigin returns the hub's own origin as derived from the request.
func (m *Middleware) ownOrigin(r *http.Request) string {
	if m.config.Proxies.Secure(r) {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// sameOrigin reports whether the scheme, host and port of the origin equal those of the request
// (RFC 6454 section 5). An omitted port means the default port of the scheme.
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

// HostPolicy holds the host names by which a hub may be reached, with any port. It protects against
// DNS rebinding. In that attack, the origin of the attacker's page equals the target of its
// requests, and only the host name reveals that the page is foreign. A nil HostPolicy accepts every
// name.
type HostPolicy struct {
	names map[string]bool
}

// NewHostPolicy returns a policy that accepts the names, loopback names, and the local address of
// the connection, each with or without a port. The error names the invalid host.
func NewHostPolicy(names ...string) (*HostPolicy, error) {
	policy := &HostPolicy{names: make(map[string]bool, len(names))}
	for _, name := range names {
		host := name
		if addr, err := netip.ParseAddr(name); err == nil {
			host = addr.String() // the policy compares IPv6 addresses without brackets
		} else if host, _, err = parseHost(name); err != nil {
			return nil, fmt.Errorf("host %q: %w", name, err)
		}
		policy.names[strings.TrimSuffix(host, ".")] = true
	}
	return policy, nil
}

// Check returns ErrHost if the policy does not accept the request's host. An HTTP/1.0 request
// without Host is accepted, because browsers always send a Host.
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

// localAddr returns the local address of the request's connection, or the zero Addr if it is not a
// TCP connection.
func localAddr(r *http.Request) netip.Addr {
	tcp, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return tcp.AddrPort().Addr().Unmap().WithZone("")
}

// splitHost is like parseHost, but reports only whether the host is valid.
func splitHost(s string) (host, port string, ok bool) {
	host, port, err := parseHost(s)
	return host, port, err == nil
}

// parseHost splits "host" or "host:port". It does not accept a user name, a path or percent-encoded
// characters. It returns the host in lower case, and an IPv6 address without brackets.
func parseHost(s string) (host, port string, err error) {
	host, port, hasPort := strings.Cut(s, ":")
	if bracketed, ok := strings.CutPrefix(s, "["); ok {
		inside, rest, closed := strings.Cut(bracketed, "]")
		addr, err := netip.ParseAddr(inside)
		if err != nil || !closed || !addr.Is6() || addr.Zone() != "" {
			return "", "", errors.New("want an IPv6 address between the brackets")
		}
		host = addr.String()
		if port, hasPort = strings.CutPrefix(rest, ":"); !hasPort && rest != "" {
			return "", "", errors.New("want a colon and a port, or nothing, after the closing bracket")
		}
	}
	if host == "" || strings.ContainsFunc(host, notInHost) {
		return "", "", errors.New("a host must be a name of ASCII letters, digits, - _ and dots, or an IP address")
	}
	if hasPort && strings.Trim(port, "0123456789") != "" {
		return "", "", errors.New("a port must be a number")
	}
	return strings.ToLower(host), port, nil
}

// notInHost reports whether a rune is not allowed in a host. Only ASCII is allowed, so that the
// conversion to lower case is unambiguous.
func notInHost(r rune) bool {
	switch {
	case 'A' <= r && r <= 'Z', 'a' <= r && r <= 'z', '0' <= r && r <= '9':
		return false
	}
	return !strings.ContainsRune("-_.:", r)
}
