package server

import (
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// securityHeaders sets headers on every response. Because of them, browsers do not guess the type of
// the response, and do not load it into pages of other origins without CORS. Over TLS, it also sets
// the header that makes browsers use only TLS for the duration hsts.
func securityHeaders(hsts time.Duration, next http.Handler) http.Handler {
	// The values are allocated once, because no handler changes them.
	nosniff, sameOrigin := []string{"nosniff"}, []string{"same-origin"}
	age := "max-age=" + strconv.FormatInt(int64(hsts/time.Second), 10)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header["X-Content-Type-Options"], header["Cross-Origin-Resource-Policy"] = nosniff, sameOrigin
		if hsts > 0 && r.TLS != nil && !isLocalName(r.Host) {
			header.Set("Strict-Transport-Security", age)
		}
		next.ServeHTTP(w, r)
	})
}

// isLocalName reports whether the HSTS header must not be sent for a host. If it were sent for localhost, a browser would
// use TLS for every port of localhost. For an IP address, browsers ignore the header (RFC 6797 section 8.1.1).
func isLocalName(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	_, err := netip.ParseAddr(host)
	return err == nil || host == "localhost" || strings.HasSuffix(host, ".localhost")
}
