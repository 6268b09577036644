package server

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"runtime/debug"
	"time"

	"golang.org/x/time/rate"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/settings"
	"github.com/trivium-hub/trivium/transports"
	"github.com/trivium-hub/trivium/transports/problems"
)

// idleTimeout is the maximum time for which a connection stays open between two requests.
const idleTimeout = 2 * time.Minute

// logPanicsEvery is the minimum interval between two log lines about panics. Without a minimum, frequent
// panics would fill the log with stack traces.
const logPanicsEvery = 10 * time.Second

// closeAfterChunked closes an HTTP/1 connection after a request with chunked transfer encoding.
// net/http accepts such a request even if it also has a Content-Length, and hides that header from
// handlers. A proxy that uses the Content-Length would find the end of the request at another byte.
// Therefore the bytes after the request cannot be trusted (RFC 9112 section 6.1).
func closeAfterChunked(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 1 && len(r.TransferEncoding) > 0 {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

// limitBodyTime sets a read deadline for request bodies that the handler does not read, because net/http reads a part of
// them before it sends the response, and sets no deadline itself. Handlers that read the body set their own deadlines.
func (s *Server) limitBodyTime(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 && s.cfg.ReadTimeout > 0 {
			// This fails if there is no connection, as in tests. Then there is no body to wait for.
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(s.cfg.ReadTimeout))
		}
		next.ServeHTTP(w, r)
	})
}

// headerSlack is added to --max-header-bytes for net/http's own limit on header bytes, so that
// limitHeader refuses a request before net/http does. net/http counts the bytes differently for each
// version of HTTP, does not answer with a problem document, and with HTTP/2 closes the connection
// together with all other requests on it.
const headerSlack = 8 << 10

// limitHeader refuses requests whose header, in the format of HTTP/1.1, is larger than --max-header-bytes.
func (s *Server) limitHeader(next http.Handler) http.Handler {
	limit := settings.Unlimited(s.cfg.MaxHeaderBytes)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if headerSize(r) > limit {
			transports.WriteProblem(w, r, problems.HeaderTooLarge(limit))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// headerSize returns the size that a request's header has in the format of HTTP/1.1, in bytes.
func headerSize(r *http.Request) int {
	size := len(r.Method) + len(r.RequestURI) + len(r.Proto) + len("  \r\n") + len("Host: \r\n") + len(r.Host)
	for name, lines := range r.Header {
		for _, line := range lines {
			size += len(name) + len(line) + len(": \r\n")
		}
	}
	return size
}

// newHTTP returns an HTTP server with the limits and headers that all listeners share.
func (s *Server) newHTTP(handler http.Handler) *http.Server {
	return &http.Server{
		Handler:           s.recoverPanics(securityHeaders(s.cfg.HSTS, closeAfterChunked(s.limitHeader(s.limitBodyTime(handler))))),
		ReadHeaderTimeout: s.cfg.ReadTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    min(settings.Unlimited(s.cfg.MaxHeaderBytes), math.MaxInt-headerSlack) + headerSlack,
		BaseContext:       func(net.Listener) context.Context { return s.api.Context() },
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
}

// recoverPanics counts panics of handlers and logs them at the level error. Without it, net/http would log them through
// its ErrorLog, which is at the level debug.
func (s *Server) recoverPanics(next http.Handler) http.Handler {
	often := rate.Sometimes{Interval: logPanicsEvery}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			cause := recover()
			if cause == nil {
				return
			}
			if cause != http.ErrAbortHandler { // with this value, handlers panic to close the connection
				s.panics.Add(1)
				often.Do(func() {
					s.log.Error("a request handler panicked", "panic", transports.Printable(fmt.Sprint(cause)), "peer", r.RemoteAddr,
						"panics", s.panics.Load(), "stack", string(debug.Stack()))
				})
			}
			panic(http.ErrAbortHandler)
		}()
		next.ServeHTTP(w, r)
	})
}
