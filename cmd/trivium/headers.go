package main

import (
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// securityHeaders sets the headers that tell browsers what not to do with any answer: to guess its type, to
// give it to a page of another origin that has not asked by CORS, and, over TLS, to ask without TLS
// for the time of hsts.
func securityHeaders(hsts time.Duration, next http.Handler) http.Handler {
	age := "max-age=" + strconv.FormatInt(int64(hsts/time.Second), 10)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Cross-Origin-Resource-Policy", "same-origin")
		if hsts > 0 && r.TLS != nil && !isLocalName(r.Host) {
			header.Set("Strict-Transport-Security", age)
		}
		next.ServeHTTP(w, r)
	})
}

// isLocalName reports whether a Host is one for which HSTS must not be set: a browser would use TLS for
// every port of localhost, and ignores HSTS of an IP address (RFC 6797 section 8.1.1).
func isLocalName(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	_, err := netip.ParseAddr(host)
	return err == nil || host == "localhost" || strings.HasSuffix(host, ".localhost")
}
