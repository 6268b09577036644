package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"runtime/debug"
	"time"

	"golang.org/x/time/rate"

	"github.com/trivium-hub/trivium/transports"
	"github.com/trivium-hub/trivium/transports/web"
	"github.com/trivium-hub/trivium/transports/wire"
)

const idleTimeout = 2 * time.Minute // of a kept connection between two requests

// logPanicsEvery bounds how often the log has the stack of a handler that panicked.
const logPanicsEvery = 10 * time.Second

// unlimited reads a size of 0 as no limit.
func unlimited(s Size) int {
	return cmp.Or(int(s), math.MaxInt)
}

// unambiguous closes the connection after a request in chunks. net/http takes one that has a
// Content-Length too, by which a proxy before it may have split the bytes otherwise, and does not
// tell (RFC 9112 section 6.1): what follows on the connection is not to be trusted.
func closeAfterChunked(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 1 && len(r.TransferEncoding) > 0 {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

// timed bounds the time of a body that nobody reads: net/http reads a part of it before it sends an
// answer, for as long as it takes. Who does read it sets limits of its own.
func (s *server) limitBodyTime(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 && s.cfg.ReadTimeout > 0 {
			// Where there is no deadline to set there is no connection to wait on.
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(s.cfg.ReadTimeout))
		}
		next.ServeHTTP(w, r)
	})
}

// headerSlack is how much more of a header net/http lets pass than may be: it counts otherwise for
// each version, and its own refusal is no problem, or ends a connection of HTTP/2 with all on it.
const headerSlack = 8 << 10

// bounded refuses a header that is larger than it may be, as HTTP/1.1 writes it.
func (s *server) limitHeader(next http.Handler) http.Handler {
	limit := unlimited(s.cfg.MaxHeaderBytes)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if headerSize(r) > limit {
			web.WriteProblem(w, r, wire.HeaderTooLarge(limit))
			return
		}
		next.ServeHTTP(w, r)
	})
}

func headerSize(r *http.Request) int {
	size := len(r.Method) + len(r.RequestURI) + len(r.Proto) + len("  \r\n") + len("Host: \r\n") + len(r.Host)
	for name, lines := range r.Header {
		for _, line := range lines {
			size += len(name) + len(line) + len(": \r\n")
		}
	}
	return size
}

// newHTTP makes a server with the bounds that every listener has.
func (s *server) newHTTP(handler http.Handler) *http.Server {
	return &http.Server{
		Handler:           s.recoverPanics(securityHeaders(s.cfg.HSTS, closeAfterChunked(s.limitHeader(s.limitBodyTime(handler))))),
		ReadHeaderTimeout: s.cfg.ReadTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    min(unlimited(s.cfg.MaxHeaderBytes), math.MaxInt-headerSlack) + headerSlack,
		BaseContext:       func(net.Listener) context.Context { return s.api.Context() },
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
}

// reporting counts and logs the panics of handlers, which net/http would log at its own level.
func (s *server) recoverPanics(next http.Handler) http.Handler {
	often := rate.Sometimes{Interval: logPanicsEvery}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			cause := recover()
			if cause == nil {
				return
			}
			if cause != http.ErrAbortHandler { // which a handler panics with to end the connection
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
