package settings

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// Warnings returns settings that are valid but usually a mistake. The hub starts in spite of them.
func (c *ServeConfig) Warnings() []Fault {
	var found []Fault
	warn := func(applies bool, flag, detail string) {
		if applies {
			found = append(found, Faults(flag, detail)...)
		}
	}
	open := c.Auth == "none"
	warn(open && !localOnly(c.HTTP), "http",
		fmt.Sprintf("%s is reachable from other machines, which may read and publish everything (--auth none)", c.HTTP))
	warn(open && slices.Contains(c.Origin, "*"), "origin",
		"with --auth none, every web page that a user of this network opens can read and publish everything")
	warn(c.Token != "" && !open && c.schemeCount() == 0 && !localOnly(c.HTTP), "token",
		fmt.Sprintf("%s is reachable from other machines, and this token has all rights and never expires; create tokens with trivium token", c.HTTP))
	warn(c.Token != "" && (open || c.schemeCount() > 0), "token", tokenIgnored) // reached only if TRIVIUM_TOKEN has set the token; otherwise this is a fault
	warn(c.JWKSURL != "" && c.JWTIssuer == "", "jwt-issuer", "not set: tokens of --jwks-url are accepted from every issuer")
	warn(c.JWKSURL != "" && c.JWTAudience == "", "jwt-audience",
		"not set: tokens that were issued for other services are accepted too")
	warn(c.Admin != "" && c.AdminTokenFile == "" && !localOnly(c.Admin), "admin",
		fmt.Sprintf("%s is reachable from other machines, and metrics and profiles need no token; set --admin-token-file, or restrict access to operators", c.Admin))
	warn(c.UDP != "" && !open && !localOnly(c.UDP) && c.UDPSecretFile == "" && len(c.UDPAllow) == 0, "udp",
		fmt.Sprintf("%s is reachable from other machines, which may publish without a token; set --udp-secret-file or --udp-allow", c.UDP))
	for _, proxy := range c.TrustedProxy {
		warn(largeNetwork(proxy), "trusted-proxy",
			fmt.Sprintf("%s is very large, and every address in it can forge client addresses; use the proxy's own network", proxy))
	}
	for _, u := range []struct{ flag, url, instead string }{
		{"nats-url", c.NATSURL, "set TRIVIUM_NATS_URL or the file of --config instead, or use --nats-creds"},
		{"jwks-url", c.JWKSURL, "set TRIVIUM_JWKS_URL or the file of --config instead"},
	} {
		seen := secretOnCommandLine(u.url)
		warn(seen != "", u.flag, seen+"; "+u.instead)
	}
	for _, secret := range []struct{ flag, path string }{
		{"jwt-secret-file", c.JWTSecretFile}, {"udp-secret-file", c.UDPSecretFile}, {"tls-key", c.TLSKey}, {"nats-creds", c.NATSCreds}, {"admin-token-file", c.AdminTokenFile},
	} {
		warn(secret.path != "" && readableByAll(secret.path), secret.flag,
			fmt.Sprintf("every user of this machine can read %s; run chmod o-r on it", secret.path))
	}
	return found
}

// largeNetwork reports whether a network is larger than the largest private networks, which are
// 10.0.0.0/8 and fc00::/7.
func largeNetwork(cidr string) bool {
	prefix, err := netip.ParsePrefix(cidr)
	if err != nil {
		return false
	}
	switch addr := prefix.Addr(); {
	case addr.Is4():
		return prefix.Bits() < 8
	case addr.Is4In6():
		return prefix.Bits() < 96+8
	default:
		return prefix.Bits() < 7
	}
}

// localOnly reports whether an address of the form host:port can be reached only from this machine.
func localOnly(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Unmap().IsLoopback()
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// checkInterface returns a description of the fault in --udp-interface, or "" if there is none. The setting
// is allowed only if --udp is a multicast group. Some IPv6 groups require it.
func (c *ServeConfig) checkInterface() string {
	host, _, _ := net.SplitHostPort(c.UDP)
	ip, err := netip.ParseAddr(host)
	if c.UDPInterface == "" {
		if ip.Is6() && ip.Zone() == "" && (ip.IsLinkLocalMulticast() || ip.IsInterfaceLocalMulticast()) {
			return fmt.Sprintf("required for the group %s, which exists on each interface", ip)
		}
		return ""
	}
	if err != nil || !ip.IsMulticast() {
		return "requires a multicast group in --udp, such as 239.255.42.1:3000"
	}
	if _, err := net.InterfaceByName(c.UDPInterface); err != nil {
		return fmt.Sprintf("want the name of an interface, such as eth0, got %q", c.UDPInterface)
	}
	return ""
}
