package auth

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

var origins = []struct {
	origin, host string
	tls          bool
	same         bool
}{
	{origin: "http://127.0.0.1:3000", host: "127.0.0.1:3000", same: true},
	{origin: "HTTP://Hub.Example:3000", host: "hub.eXAMPLE:3000", same: true},
	{origin: "http://hub.example", host: "hub.example:80", same: true},
	{origin: "http://hub.example:80", host: "hub.example", same: true},
	{origin: "https://hub.example", host: "hub.example:443", tls: true, same: true},
	{origin: "https://hub.example", host: "hub.example", tls: true, same: true},
	{origin: "http://[::1]:3000", host: "[::1]:3000", same: true},
	{origin: "http://[::1]", host: "[0:0::1]:80", same: true},
	{origin: "http://hub.example.:3000", host: "hub.example.:3000", same: true},

	{origin: "http://hub.example", host: "hub.example", tls: true},
	{origin: "https://127.0.0.1:3000", host: "127.0.0.1:3000"},
	{origin: "https://hub.example", host: "hub.example:443"},
	{origin: "http://hub.example:443", host: "hub.example", tls: true},
	{origin: "https://hub.example", host: "hub.example:80"},
	{origin: "http://hub.example:443", host: "hub.example"},
	{origin: "http://hub.example.:3000", host: "hub.example:3000"},
	{origin: "http://127.0.0.1:3001", host: "127.0.0.1:3000"},
	{origin: "http://127.0.0.1", host: "127.0.0.1:3000"},
	{origin: "http://localhost:3000", host: "127.0.0.1:3000"},
	{origin: "http://127.0.0.1:3000.evil.test", host: "127.0.0.1:3000"},
	{origin: "http://127.0.0.1.evil.test:3000", host: "127.0.0.1:3000"},
	{origin: "http://evil.test/127.0.0.1:3000", host: "127.0.0.1:3000"},
	{origin: "http://evil.test#127.0.0.1:3000", host: "127.0.0.1:3000"},
	{origin: "http://127.0.0.1:3000@evil.test", host: "127.0.0.1:3000"},
	{origin: "http://evil.test@127.0.0.1:3000", host: "127.0.0.1:3000"},
	{origin: "http://127.0.0.1:3000/", host: "127.0.0.1:3000"},
	{origin: "http://127.0.0.1:3000?", host: "127.0.0.1:3000"},
	{origin: "http://127.0.0.1:3000 ", host: "127.0.0.1:3000"},
	{origin: "http://127.0.0.1:3000, http://127.0.0.1:3000", host: "127.0.0.1:3000"},
	{origin: "http://127.0.0.1:+3000", host: "127.0.0.1:3000"},
	{origin: "http:\\\\127.0.0.1:3000", host: "127.0.0.1:3000"},
	{origin: "http:127.0.0.1:3000", host: "127.0.0.1:3000"},
	{origin: "//127.0.0.1:3000", host: "127.0.0.1:3000"},
	{origin: "127.0.0.1:3000", host: "127.0.0.1:3000"},
	{origin: "ws://127.0.0.1:3000", host: "127.0.0.1:3000"},
	{origin: "file://127.0.0.1:3000", host: "127.0.0.1:3000"},
	{origin: "chrome-extension://hub.example", host: "hub.example"},
	{origin: "http://::1", host: "[::1]"},
	{origin: "http://[::1]:3000.evil.test", host: "[::1]:3000"},
	{origin: "http://\u212aelvin.example", host: "kelvin.example"}, // strings.EqualFold equates the Kelvin sign with k
	{origin: "null", host: "127.0.0.1:3000"},
	{origin: "NULL", host: "NULL"},
	{origin: "", host: "127.0.0.1:3000"},
	{origin: "http://", host: ""},
	{origin: "http://:3000", host: ":3000"},
}

func TestOwnOrigin(t *testing.T) {
	patterns, err := NewOrigins(patterns)
	require.NoError(t, err)
	for _, allowed := range []*Origins{nil, patterns} {
		g := New(Config{Verifier: NewStaticToken(canary, Limits{}), Origins: allowed})
		for _, o := range origins {
			for _, token := range []string{"", "Bearer " + canary} {
				a := attempt{host: o.host, tls: o.tls, header: http.Header{"Origin": {o.origin}}}
				want := ErrForeignOrigin
				if o.same {
					want = ErrNoToken
				}
				if token != "" {
					a.header.Set("Authorization", token)
					if o.same {
						want = nil
					}
				}
				_, header, reason := try(t, g, a)
				require.ErrorIs(t, reason, want, "%q of %q", o.origin, o.host)
				require.Empty(t, header["Access-Control-Allow-Origin"], "%q of %q", o.origin, o.host)
				require.Equal(t, allowed != nil, header.Get("Vary") == "Origin")
			}
		}

		same := "http://hub.example"
		_, _, reason := try(t, g, attempt{host: "hub.example", header: http.Header{"Origin": {same, same}}})
		require.ErrorIs(t, reason, ErrForeignOrigin, "two Origin headers are refused even if both are allowed")
	}
}

// checkOriginKind requires that each accepted origin equals the scheme and Host of the request, or
// is allowed by a pattern. The comparison ignores case, a default port and the form of an IPv6
// address.
func checkOriginKind(t require.TestingT, g *Middleware, origin, host string) {
	r := attempt{host: host, header: http.Header{"Origin": {origin}}}.request()
	switch g.originKindOf(r) {
	case sameOriginPage:
		if strings.Contains(host, "[") {
			return
		}
		bare := func(s, port string) string {
			return strings.TrimSuffix(strings.TrimSuffix(strings.ToLower(s), port), ":")
		}
		rest, isHTTP := strings.CutPrefix(strings.ToLower(origin), "http://")
		require.True(t, isHTTP && bare(rest, ":80") == bare(host, ":80"), "origin %q is accepted for Host %q", origin, host)
	case allowedOrigin:
		require.Regexp(t, patternsAllow, origin)
	case noOrigin:
		require.Fail(t, "a request with an Origin header was classified as noOrigin")
	case foreignOrigin:
		require.NotRegexp(t, `^https://[a-z]{1,9}\.example\.com$`, origin, "an allowed origin is accepted")
	}
}

func FuzzOrigin(f *testing.F) {
	allowed, err := NewOrigins(patterns)
	require.NoError(f, err)
	g := New(Config{Origins: allowed})
	for _, o := range origins {
		f.Add(o.origin, o.host)
	}
	for _, o := range otherOrigins {
		f.Add(o.origin, "hub.example")
	}
	f.Fuzz(func(t *testing.T, origin, host string) { checkOriginKind(t, g, origin, host) })
}

// The test checks origins that are assembled from random parts of origins.
func TestOriginsOfRandomParts(t *testing.T) {
	allowed, err := NewOrigins(patterns)
	require.NoError(t, err)
	g := New(Config{Origins: allowed})
	pieces := rapid.SampledFrom([]string{
		"app", "evil", ".", ".", "example.com", "example.net", "any.example.org", "localhost", "127.0.0.1", "[::1]", "[", "]",
		":", ":443", ":80", ":5173", ":8080", "/", "@", "%", "-", "_", "xn--bcher-kva.example", "X", " ", "\\", "",
	})
	rapid.Check(t, func(t *rapid.T) {
		scheme := rapid.SampledFrom([]string{"https://", "http://", "capacitor://", "Http://", "https:"}).Draw(t, "scheme")
		parts := rapid.SliceOfN(pieces, 1, 6).Draw(t, "parts")
		host := rapid.SampledFrom([]string{"hub.example", "localhost", "app.example.com", "evil.example.com:443"}).Draw(t, "host")
		checkOriginKind(t, g, scheme+strings.Join(parts, ""), host)
	})
}

func TestHostPolicy(t *testing.T) {
	policy, err := NewHostPolicy("Hub.Example", "node-1.lan:3000", "2001:db8::1", "[2001:db8::2]:3000", "0.0.0.0:3000")
	require.NoError(t, err)
	for host, want := range map[string]error{
		"localhost":              nil,
		"LOCALHOST:3000":         nil,
		"localhost.:3000":        nil,
		"demo.localhost:3000":    nil,
		"127.0.0.1":              nil,
		"127.255.255.254:80":     nil,
		"[::1]":                  nil,
		"[::1]:3000":             nil,
		"[::ffff:127.0.0.1]":     nil,
		"[0:0:0:0:0:0:0:1]:3000": nil,
		"192.0.2.7:3000":         nil, // local address of the connection
		"192.0.2.7:8080":         nil, // another port is accepted, because ports may be forwarded
		"[::ffff:192.0.2.7]":     nil,
		"hub.example":            nil,
		"HUB.EXAMPLE.:9":         nil,
		"node-1.lan":             nil,
		"[2001:DB8::1]:3000":     nil,
		"[2001:db8:0::2]":        nil,
		"0.0.0.0:3000":           nil,

		"":                           ErrHost,
		":3000":                      ErrHost,
		"evil.test":                  ErrHost,
		"localhost.evil.test":        ErrHost,
		"evil-localhost":             ErrHost,
		"127.0.0.1.evil.test":        ErrHost,
		"127.0.0.1:3000.evil.test":   ErrHost,
		"hub.example.evil.test":      ErrHost,
		"hub.example..":              ErrHost,
		"sub.hub.example":            ErrHost,
		"evil.test@localhost":        ErrHost,
		"localhost/":                 ErrHost,
		"localhost, evil.test":       ErrHost,
		"127.1":                      ErrHost,
		"2130706433":                 ErrHost,
		"0x7f.0.0.1":                 ErrHost,
		"128.0.0.1":                  ErrHost,
		"192.0.2.8:3000":             ErrHost,
		"::1":                        ErrHost,
		"[::1":                       ErrHost,
		"[::2]":                      ErrHost,
		"[::1]evil.test":             ErrHost,
		"[localhost]":                ErrHost,
		"[127.0.0.1]":                ErrHost,
		"lo\u212aalhost":             ErrHost,
		"localhost:port":             ErrHost,
		"xn--localhost-.evil.test:1": ErrHost,
	} {
		_, _, reason := try(t, New(Config{Hosts: policy}), attempt{host: host})
		require.ErrorIs(t, reason, want, host)
		_, _, reason = try(t, New(Config{}), attempt{host: host})
		require.NoError(t, reason, "every Host is accepted without a policy")
	}
	_, _, reason := try(t, New(Config{Hosts: policy}), attempt{http10: true})
	require.NoError(t, reason, "HTTP/1.0 without Host is accepted")

	for _, bad := range []string{"", ":3000", "http://hub.example", "hub.example/", "a b", "hub.example:x", "*.example", "b\u00fccher.example"} {
		_, err := NewHostPolicy("good.example", bad)
		require.ErrorContains(t, err, "host \""+bad+"\"")
	}
}
