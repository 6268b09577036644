package server

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/gorilla/mux"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/settings"
	"github.com/trivium-hub/trivium/hub/jetstream"
	"github.com/trivium-hub/trivium/transports"
	"github.com/trivium-hub/trivium/transports/client/js"
	"github.com/trivium-hub/trivium/transports/problems"
	"github.com/trivium-hub/trivium/wasmdemo"
)

// closedAtDeadline returns the number of connections that were closed at the end of a drain before all
// data was written to them.
func closedAtDeadline(s transports.Stats) (n uint64) {
	for _, transport := range s.Transports {
		n += transport.ClosedAtDeadline
	}
	return n
}

const index = `Trivium, a real-time hub.

GET  /sse               events as server-sent events
GET  /ws                events over WebSocket, and publishing
GET  /poll              events by long-poll
POST /publish           publish envelopes: application/json, application/x-ndjson
POST /publish/{topic}   publish the body
POST /ticket            exchange the token for a ticket, which replaces it in one URL
POST /session           store the token in a cookie, for pages that use EventSource
GET  /trivium.js        the client for browsers; its TypeScript types are in /trivium.d.ts
GET  /healthz           200 while the process is alive
GET  /readyz            200 while the hub accepts subscriptions
`

// demoIndex is the part of the index that lists the routes of the demo page.
const demoIndex = "GET  /demo/             a page that shows the three transports side by side\n" +
	"GET  /demo/examples/    short pages that show their source\n"

// newDemo returns the demo page, or nil with --demo off.
func newDemo(cfg *settings.ServeConfig, log *slog.Logger) *wasmdemo.Demo {
	if !cfg.Demo {
		return nil
	}
	return wasmdemo.New(wasmdemo.Config{
		Checkout: wasmdemo.FindCheckout(), Log: log, WriteTimeout: cfg.WriteTimeout,
		Allow: transports.AllowMethods, NotFound: transports.NotFound,
	})
}

// newAPI returns the HTTP API. Until its method Start is called, it answers that the hub is starting.
func (s *Server) newAPI() (*transports.API, error) {
	cfg := s.cfg
	return transports.NewStarting(transports.Config{
		Auth: s.access.requireToken, Admitted: s.open.trackServing, Advice: advice, Log: s.log, LogConnections: cfg.LogConnections,
		Heartbeat: cfg.Heartbeat, WriteTimeout: cfg.WriteTimeout, ReadTimeout: orUnlimited(cfg.ReadTimeout),
		MaxTopics: orUnlimited(cfg.MaxTopics), Disconnect: cfg.Slow == "disconnect",
		MaxMessageBytes: int64(cfg.MaxMessageBytes), MaxMessageRate: float64(cfg.MaxMessageRate), MaxMessageFragments: cfg.MaxMessageFragments,
		EncodingBytes: s.retention.Encodings,
		CleanEnd:      cfg.SSEEnd == "clean", Compression: cfg.WSCompression, CloudEventsSource: cfg.CloudEventsSource,
	})
}

// orUnlimited converts the value of a limit: in settings 0 means no limit, and in transports.Config -1 means no limit.
func orUnlimited[T int | time.Duration](setting T) T {
	if setting == 0 {
		return -1
	}
	return setting
}

// apiRoutes registers the API's routes.
func (s *Server) apiRoutes(routes *mux.Router) {
	for _, path := range transports.Paths() {
		if strings.HasSuffix(path, "/") {
			routes.PathPrefix(path).Handler(s.api)
		} else {
			routes.Handle(path, s.api)
		}
	}
}

// preferAPI returns a handler that passes requests for the API directly to the API, and all other requests to the router.
// The router is bypassed because it copies each request twice.
func (s *Server) preferAPI(router http.Handler) http.Handler {
	exact := make(map[string]bool)
	for _, path := range transports.Paths() {
		exact[path] = !strings.HasSuffix(path, "/")
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if exact[r.URL.EscapedPath()] {
			s.api.ServeHTTP(w, r)
		} else {
			router.ServeHTTP(w, r)
		}
	})
}

// tokenless returns the middleware of the routes that require no token.
func (s *Server) tokenless() func(http.Handler) http.Handler {
	return s.access.tokenless.Wrap(s.api.HandleError("others", transports.WriteProblem))
}

// publicRoutes returns the handler of the main listener.
func (s *Server) publicRoutes() http.Handler {
	// The router neither decodes nor cleans paths: a topic in a path may contain percent-encoded characters, or be "."
	// or "..". The API validates topics.
	routes := mux.NewRouter().UseEncodedPath().SkipClean(true)
	s.apiRoutes(routes)
	tokenless := s.tokenless()
	indexText := index
	if s.demo != nil {
		indexText += demoIndex
		routes.Handle("/demo", tokenless(s.demo))
		routes.PathPrefix("/demo/").Handler(tokenless(s.demo))
	}
	routes.Handle("/", tokenless(text(indexText)))
	routes.Handle("/favicon.ico", tokenless(http.HandlerFunc(noIcon)))
	for _, path := range js.Paths() {
		routes.Handle(path, tokenless(js.Handler()))
	}
	routes.Handle("/healthz", tokenless(text("ok\n")))
	routes.Handle("/readyz", tokenless(ready(s.api, s.engineError)))
	routes.NotFoundHandler = tokenless(http.HandlerFunc(transports.NotFound))
	return s.preferAPI(routes)
}

// noIcon answers requests for /favicon.ico, which browsers send for every page, with an empty response.
func noIcon(w http.ResponseWriter, r *http.Request) {
	if transports.AllowMethods(w, r, http.MethodGet, http.MethodHead) {
		w.Header().Set("Cache-Control", "max-age=86400")
		w.WriteHeader(http.StatusNoContent)
	}
}

// retryDraining is the value of Retry-After in answers of /readyz during a drain. After this time, a
// load balancer may have selected another hub that is ready.
const retryDraining = 2 * time.Second

// text returns a handler that answers GET and HEAD with a plain-text body.
func text(s string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if transports.AllowMethods(w, r, http.MethodGet, http.MethodHead) {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			w.Header().Set("Cache-Control", "no-store")
			fmt.Fprint(w, s)
		}
	}
}

// ready returns the handler of /readyz. It answers 200 if a load balancer should send subscribers to this hub, and 503
// while the hub drains or its engine is unavailable.
func ready(api *transports.API, engineError func() error) http.HandlerFunc {
	ok := text("ready\n")
	return func(w http.ResponseWriter, r *http.Request) {
		if api.IsDraining() {
			transports.WriteProblem(w, r, problems.Draining(retryDraining))
			return
		}
		if err := engineError(); err != nil {
			problem := problems.Of(err)
			if rights, found := errors.AsType[*jetstream.RightsError](err); found {
				problem.Detail = rights.Error() // the error contains the rights that an operator must grant
			}
			transports.WriteProblem(w, r, problem)
			return
		}
		ok(w, r)
	}
}
