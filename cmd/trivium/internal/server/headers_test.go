package server

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

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
