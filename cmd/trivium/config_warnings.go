package main

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// warnings returns the settings that may be meant but seldom are, flag by flag. The hub starts with
// them; check refuses what is never right.
func (c *ServeConfig) warnings() []fault {
	var found []fault
	warn := func(applies bool, flag, detail string) {
		if applies {
			found = append(found, faulty(flag, detail)...)
		}
	}
	open := c.Auth == "none"
	warn(open && !localOnly(c.HTTP), "http",
		fmt.Sprintf("other machines reach %s, and may read and publish everything (--auth none)", c.HTTP))
	warn(open && slices.Contains(c.Origin, "*"), "origin",
		"with --auth none, every web page that a user of this network opens may read and publish everything")
	warn(c.JWKSURL != "" && c.JWTIssuer == "", "jwt-issuer", "is not set: a token of --jwks-url is taken whoever issued it")
	warn(c.JWKSURL != "" && c.JWTAudience == "", "jwt-audience",
		"is not set: a token that was issued for another service is taken too")
	warn(c.Admin != "" && !localOnly(c.Admin), "admin",
		fmt.Sprintf("other machines reach %s, and its profiles and figures need no token; let only the operator's reach it", c.Admin))
	warn(c.UDP != "" && !open && !localOnly(c.UDP) && c.UDPSecretFile == "" && len(c.UDPAllow) == 0, "udp",
		fmt.Sprintf("other machines reach %s, and may publish without a token; set --udp-secret-file or --udp-allow", c.UDP))
	for _, proxy := range c.TrustedProxy {
		warn(largeNetwork(proxy), "trusted-proxy",
			fmt.Sprintf("%s is a large part of all addresses, and each of them could name any client; name the proxy's own network", proxy))
	}
	for _, u := range []struct{ flag, url, instead string }{
		{"nats-url", c.NATSURL, "set TRIVIUM_NATS_URL or the file of --config instead, or use --nats-creds"},
		{"jwks-url", c.JWKSURL, "set TRIVIUM_JWKS_URL or the file of --config instead"},
	} {
		warn(u.url != "" && shownByPS(u.url), u.flag, "is on the command line, which every user of this machine can see; "+u.instead)
	}
	for _, secret := range []struct{ flag, path string }{
		{"jwt-secret-file", c.JWTSecretFile}, {"udp-secret-file", c.UDPSecretFile}, {"tls-key", c.TLSKey}, {"nats-creds", c.NATSCreds},
	} {
		warn(secret.path != "" && readableByAll(secret.path), secret.flag,
			fmt.Sprintf("every user of this machine may read %s; chmod o-r takes that away", secret.path))
	}
	return found
}

// largeNetwork reports whether a prefix is larger than any private network: 10.0.0.0/8 and fc00::/7.
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

// localOnly reports whether no other machine reaches an address of the form host:port.
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

// checkInterface returns what is wrong with --udp-interface, which is for multicast groups alone.
func (c *ServeConfig) checkInterface() string {
	if c.UDPInterface == "" {
		return ""
	}
	host, _, _ := net.SplitHostPort(c.UDP)
	if ip, err := netip.ParseAddr(host); err != nil || !ip.IsMulticast() {
		return "is for a multicast group in --udp, such as 239.255.42.1:3000"
	}
	if _, err := net.InterfaceByName(c.UDPInterface); err != nil {
		return fmt.Sprintf("want the name of an interface, such as eth0, got %q", c.UDPInterface)
	}
	return ""
}
