package main

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Every answer of every route, including upgrades and refusals, has headers that forbid browsers to
// guess its type and to share it with other origins.
func TestHardeningHeaders(t *testing.T) {
	f := &testbed{}
	p := serve(t, program(t, nil, append(anyPorts, "--auth", "none")...))
	check := func(r request) {
		x := f.do(t, r)
		require.Equal(t, []string{"nosniff"}, x.header.Values("X-Content-Type-Options"), "%v", r)
		require.Equal(t, []string{"same-origin"}, x.header.Values("Cross-Origin-Resource-Policy"), "%v", r)
		require.Empty(t, x.header.Get("Strict-Transport-Security"), "there is no TLS")
	}
	for _, line := range routes {
		check(withBody(request{hub: p, line: line}))
		check(withBody(request{hub: p, line: line, header: []string{"Origin: https://evil.test"}}))
	}
	for _, line := range []string{"GET /metrics", "GET /stats", "GET /", "GET /debug/pprof/", "GET /debug/pprof", "GET /nowhere"} {
		check(request{hub: p, admin: true, line: line})
	}
}

// Strict-Transport-Security is sent with the configured duration, only over TLS, and only to
// requests for a host name.
func TestStrictTransportSecurity(t *testing.T) {
	none := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	for _, c := range []struct {
		host string
		tls  bool
		hsts time.Duration
		want string
	}{
		{"hub.example", true, 24 * time.Hour, "max-age=86400"},
		{"hub.example:8443", true, time.Hour, "max-age=3600"},
		{"hub.example", true, 0, ""},
		{"hub.example", false, time.Hour, ""},
		{"localhost:3000", true, time.Hour, ""},
		{"hub.localhost", true, time.Hour, ""},
		{"127.0.0.1:3000", true, time.Hour, ""},
		{"[::1]", true, time.Hour, ""},
		{"[2001:db8::1]:443", true, time.Hour, ""},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Host = c.host
		if c.tls {
			r.TLS = new(tls.ConnectionState)
		}
		w := httptest.NewRecorder()
		securityHeaders(c.hsts, none).ServeHTTP(w, r)
		require.Equal(t, c.want, w.Header().Get("Strict-Transport-Security"), "%v", c)
	}
}
