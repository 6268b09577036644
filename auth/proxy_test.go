package auth

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func testProxies(t require.TestingT) *Proxies {
	proxies, err := NewProxies("10.0.0.0/8", "192.0.2.10", "2001:db8::/64", "::ffff:172.16.0.0/108")
	require.NoError(t, err)
	return proxies
}

var forwarded = []struct {
	name  string
	peer  string
	lines []string
	want  string // "": the zero Addr
}{
	{"no entry", "10.1.2.3:80", nil, "10.1.2.3"},
	{"one entry", "10.1.2.3:80", []string{"203.0.113.7"}, "203.0.113.7"},
	{"a proxy given as an address", "192.0.2.10:80", []string{"203.0.113.7"}, "203.0.113.7"},
	{"a peer with an IPv4 address mapped to IPv6", "[::ffff:10.1.2.3]:80", []string{"203.0.113.7"}, "203.0.113.7"},
	{"a prefix of IPv4 addresses mapped to IPv6", "172.31.0.1:80", []string{"203.0.113.7"}, "203.0.113.7"},
	{"a peer with a zone", "[2001:db8::1%eth0]:80", []string{"203.0.113.7"}, "203.0.113.7"},
	{"an entry with a port", "10.1.2.3:80", []string{"203.0.113.7:4711"}, "203.0.113.7"},
	{"IPv6", "10.1.2.3:80", []string{"2001:db8:1::7"}, "2001:db8:1::7"},
	{"IPv6 in brackets", "10.1.2.3:80", []string{"[2001:db8:1::7]"}, "2001:db8:1::7"},
	{"IPv6 in brackets, with a port", "10.1.2.3:80", []string{"[2001:db8:1::7]:4711"}, "2001:db8:1::7"},
	{"an entry with a zone", "10.1.2.3:80", []string{"fe80::7%eth0"}, "fe80::7"},
	{"an entry with an IPv4 address mapped to IPv6", "10.1.2.3:80", []string{"::ffff:203.0.113.7"}, "203.0.113.7"},
	{"the last address that is not a proxy", "10.1.2.3:80", []string{"198.51.100.1, 203.0.113.7,10.9.9.9 ,\t192.0.2.10"}, "203.0.113.7"},
	{"several header lines", "10.1.2.3:80", []string{"198.51.100.1", "203.0.113.7", "10.9.9.9, 10.8.8.8"}, "203.0.113.7"},
	{"all trusted", "10.1.2.3:80", []string{"10.4.4.4, 10.5.5.5", "10.6.6.6"}, "10.4.4.4"},

	{"a peer that is not a proxy", "203.0.113.9:80", []string{"198.51.100.1"}, "203.0.113.9"},
	{"an untrusted peer sends a proxy's address", "203.0.113.9:80", []string{"198.51.100.1, 10.1.2.3"}, "203.0.113.9"},
	{"the client sends another address before", "10.1.2.3:80", []string{"127.0.0.1, 203.0.113.7"}, "203.0.113.7"},
	{"the client sends a proxy's address before", "10.1.2.3:80", []string{"198.51.100.1, 10.9.9.9, 203.0.113.7"}, "203.0.113.7"},
	{"in a separate header line", "10.1.2.3:80", []string{"198.51.100.1", "203.0.113.7"}, "203.0.113.7"},
	{"a neighbour of a proxy", "192.0.2.11:80", []string{"198.51.100.1"}, "192.0.2.11"},

	{"garbage", "10.1.2.3:80", []string{"unknown"}, "10.1.2.3"},
	{"an invalid entry before a valid one", "10.1.2.3:80", []string{"198.51.100.1, _hidden, 10.9.9.9"}, "10.9.9.9"},
	{"empty", "10.1.2.3:80", []string{""}, "10.1.2.3"},
	{"an empty entry", "10.1.2.3:80", []string{"198.51.100.1,,10.9.9.9"}, "10.9.9.9"},
	{"a comma at the end", "10.1.2.3:80", []string{"198.51.100.1,"}, "10.1.2.3"},
	{"an unclosed bracket", "10.1.2.3:80", []string{"[2001:db8:1::7"}, "10.1.2.3"},
	{"IPv4 in brackets", "10.1.2.3:80", []string{"[203.0.113.7]"}, "10.1.2.3"},
	{"an invalid port", "10.1.2.3:80", []string{"203.0.113.7:_x"}, "10.1.2.3"},
	{"leading zeros", "10.1.2.3:80", []string{"203.0.113.007"}, "10.1.2.3"},
	{"quoted", "10.1.2.3:80", []string{`"203.0.113.7"`}, "10.1.2.3"},
	{"a Unix socket", "@", []string{"203.0.113.7"}, ""},
	{"one hop more than the maximum", "10.1.2.3:80", []string{"203.0.113.7" + strings.Repeat(",10.9.9.9", maxHops)}, "10.9.9.9"},
	{"the maximum number of hops", "10.1.2.3:80", []string{"203.0.113.7" + strings.Repeat(",10.9.9.9", maxHops-1)}, "203.0.113.7"},
	{"a million empty entries", "10.1.2.3:80", []string{strings.Repeat(",", 1<<20)}, "10.1.2.3"},
}

func TestClientAddressBehindProxies(t *testing.T) {
	for _, f := range forwarded {
		r := attempt{peer: f.peer, header: http.Header{
			"X-Forwarded-For":  f.lines,
			"Forwarded":        {"for=198.51.100.99"},
			"X-Real-Ip":        {"198.51.100.99"},
			"X-Forwarded-Host": {"198.51.100.99"},
		}}.request()
		var want netip.Addr
		if f.want != "" {
			want = netip.MustParseAddr(f.want)
		}
		require.Equal(t, want, testProxies(t).Client(r), f.name)
		var nobody *Proxies
		require.Equal(t, peer(r), nobody.Client(r), f.name)
	}
}

// The headers that a client sends do not affect the address that the hub determines for it, whether
// the client connects directly or through a proxy.
func FuzzClient(f *testing.F) {
	for _, row := range forwarded {
		f.Add(strings.Join(row.lines, "\n"), row.peer)
	}
	f.Fuzz(func(t *testing.T, claimed, address string) {
		proxies := testProxies(t)
		lines := strings.Split(claimed, "\n")
		r := attempt{peer: address, header: http.Header{"X-Forwarded-For": lines}}.request()
		if !proxies.Trusts(peer(r)) {
			require.Equal(t, peer(r), proxies.Client(r))
		}
		require.Empty(t, proxies.Client(r).Zone())

		r.RemoteAddr = "10.1.2.3:80"
		client := netip.MustParseAddr("203.0.113.7")
		r.Header["X-Forwarded-For"] = append(lines, client.String())
		require.Equal(t, client, proxies.Client(r), "the proxy adds a header line")
		lines[len(lines)-1] += ", " + client.String() + ", 10.9.9.9"
		r.Header["X-Forwarded-For"] = lines
		require.Equal(t, client, proxies.Client(r), "the proxy appends to the header line")
	})
}

func TestSecureBehindProxies(t *testing.T) {
	const proxy, client = "10.1.2.3:80", "203.0.113.9:80"
	for _, c := range []struct {
		name  string
		peer  string
		tls   bool
		proto []string
		want  bool
	}{
		{"plain", client, false, nil, false},
		{"TLS", client, true, nil, true},
		{"an untrusted client sends https", client, false, []string{"https"}, false},
		{"a Unix socket", "@", false, []string{"https"}, false},
		{"a trusted proxy sends https", proxy, false, []string{"HTTPS"}, true},
		{"a trusted proxy sends http", proxy, false, []string{"http"}, false},
		{"a trusted proxy sends no header", proxy, false, nil, false},
		{"the last value is https", proxy, false, []string{"http, https"}, true},
		{"only the first value is https", proxy, false, []string{"https", "http"}, false},
		{"an unknown scheme", proxy, false, []string{"https://"}, false},
		{"TLS only between proxy and hub", proxy, true, []string{"http"}, true},
	} {
		a := attempt{peer: c.peer, tls: c.tls, host: "hub.example", header: http.Header{
			"X-Forwarded-Proto": c.proto,
			"X-Forwarded-Host":  {"evil.test"},
			"Forwarded":         {"proto=https;host=evil.test"},
		}}
		g := New(Config{Proxies: testProxies(t)})
		require.Equal(t, c.want, g.config.Proxies.Secure(a.request()), c.name)
		// An origin is the hub's own if it has the scheme that the browser uses, with or without
		// the default port of the scheme.
		for origin, same := range map[string]bool{
			"https://hub.example":     c.want,
			"https://hub.example:443": c.want,
			"http://hub.example":      !c.want,
			"https://evil.test":       false,
			"http://evil.test":        false,
		} {
			a.header.Set("Origin", origin)
			_, _, reason := try(t, g, a)
			if same {
				require.NoError(t, reason, "%s: %s", c.name, origin)
			} else {
				require.ErrorIs(t, reason, ErrForeignOrigin, "%s: %s", c.name, origin)
			}
		}
	}
}

func TestNewProxies(t *testing.T) {
	none, err := NewProxies()
	require.NoError(t, err)
	require.Nil(t, none)

	bad := []string{"", "proxy.example", "10.0.0.0/33", "10.0.0.0/", "10.0.0.1:80", "fe80::1%eth0", "fe80::%eth0/64", "[::1]", "::ffff:0.0.0.0/95",
		" 192.0.2.1", "192.0.2", "192.0.2.1/-1", "192.0.2.0-9", "::1/129", "localhost", "*", "010.0.0.1"}
	_, err = NewProxies(append([]string{"10.0.0.1"}, bad...)...)
	require.Error(t, err)
	faults := strings.Split(err.Error(), "\n")
	require.Len(t, faults, len(bad))
	for i, fault := range faults {
		require.Contains(t, fault, `proxy "`+bad[i]+`": want `)
	}
}

func TestProxiesMustNotCoverAllAddresses(t *testing.T) {
	for _, all := range [][]string{
		{"0.0.0.0/1", "128.0.0.0/1"},
		{"0.0.0.0/2", "64.0.0.0/2", "10.0.0.0/8", "128.0.0.0/1"},
		{"::/1", "8000::/1"},
	} {
		_, err := NewProxies(all...)
		require.ErrorContains(t, err, "together contain all addresses", all)
	}
	for _, some := range [][]string{
		{"0.0.0.0/1", "128.0.0.0/2"}, {"10.0.0.0/8", "192.168.0.0/16", "fc00::/7"}, {"::1", "127.0.0.1", "8000::/1"},
	} {
		_, err := NewProxies(some...)
		require.NoError(t, err, some)
	}
}
