package transports

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trivium-hub/trivium/auth"
	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/internal/connection"
	"github.com/trivium-hub/trivium/transports/internal/intake"
	"github.com/trivium-hub/trivium/transports/internal/web"
	"github.com/trivium-hub/trivium/transports/problems"
	"github.com/trivium-hub/trivium/transports/publish"
	"github.com/trivium-hub/trivium/transports/websocket"
)

// counters are the counters of an API.
type counters struct {
	Transports        map[string]*connection.Counters // counters by transport name; static
	WebSocketRefusals websocket.Refusals
	// PublishedHTTP and PublishedWebSocket count published events. They do not count a repeated publish
	// with the same idempotency key.
	PublishedHTTP, PublishedWebSocket atomic.Uint64
	Problems                          web.ProblemCounts // for requests whose context is derived from API.Context
}

// API serves a hub over HTTP. It is an http.Handler; see the package comment for its routes.
type API struct {
	cfg      Config
	auth     *auth.Middleware
	registry *connection.Registry
	counters counters
	origins  originWarnings

	routes atomic.Pointer[routes]
	intake atomic.Pointer[intake.Budget] // set by Start

	// publishing is canceled by StopPublishing.
	publishing    context.Context
	endPublishing context.CancelCauseFunc

	stop    context.CancelFunc
	running sync.WaitGroup
}

// routes are the handlers of the API's paths.
type routes struct {
	exact map[string]http.Handler
	topic http.Handler // handler of /publish/{topic}
}

// New returns an API for cfg.Hub. The caller must call Close.
func New(cfg Config) (*API, error) {
	if cfg.Hub == nil {
		return nil, errors.New("transports: Config.Hub is required")
	}
	a, err := NewStarting(cfg)
	if err != nil {
		return nil, err
	}
	a.Start(cfg.Hub)
	return a, nil
}

// NewStarting returns an API that answers requests with status 503 and Retry-After until Start is
// called. A program can therefore listen while its hub still waits for an engine. NewStarting ignores
// Config.Hub.
func NewStarting(cfg Config) (*API, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	middleware, own, err := cfg.middleware()
	if err != nil {
		return nil, err
	}
	a := &API{cfg: cfg, auth: middleware, registry: connection.NewRegistry(cfg.Heartbeat, cfg.EncodingBytes)}
	a.counters.Transports = make(map[string]*connection.Counters)
	for _, t := range transportTable {
		a.counters.Transports[t.name] = new(connection.Counters)
	}
	a.publishing, a.endPublishing = context.WithCancelCause(a.counters.Problems.Context(context.Background()))
	ctx, stop := context.WithCancel(context.Background())
	a.stop = stop
	if own {
		a.running.Go(func() { middleware.Run(ctx) })
	}
	a.routes.Store(a.newRoutes(nil))
	return a, nil
}

// Start makes the API serve the hub. It must be called once, and only on an API that NewStarting
// has returned.
func (a *API) Start(h *hub.Hub) {
	a.intake.Store(intake.New(publish.LargestBody(h.MaxEventSize())))
	a.routes.Store(a.newRoutes(h))
}

// ServeHTTP implements http.Handler.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	routes := a.routes.Load()
	path := r.URL.EscapedPath() // escaped, because a topic in the path may contain an escaped slash
	if handler, ok := routes.exact[path]; ok {
		handler.ServeHTTP(w, r)
		return
	}
	if topic, ok := strings.CutPrefix(path, "/publish/"); ok && !strings.Contains(topic, "/") {
		routes.topic.ServeHTTP(w, r)
		return
	}
	web.NotFound(w, r)
}

// admit wraps next with the access control of a route.
func (a *API) admit(route string, refuse Refusal, next http.Handler) http.Handler {
	if a.cfg.Admitted != nil {
		next = a.cfg.Admitted(next)
	}
	handleError := a.HandleError(route, refuse)
	if route == "/publish" {
		return a.auth.Wrap(handleError)(next)
	}
	return a.auth.WrapSubscription(handleError)(next)
}

// newRoutes returns the routes that serve h. If h is nil, it returns the routes that are used before
// Start.
func (a *API) newRoutes(h *hub.Hub) *routes {
	starting := func(refuse Refusal) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { refuse(w, r, StartingProblem()) })
	}
	exact := make(map[string]http.Handler)
	for _, t := range transportTable {
		handler, refuse := t.newHandler(a, h, a.counters.Transports[t.name], a.connectionLog(t.name))
		if h == nil {
			handler = starting(refuse)
		}
		exact[t.path] = a.admit(t.path, refuse, handler)
	}
	envelopes, topic := starting(web.WriteProblem), starting(web.WriteProblem)
	if h != nil {
		envelopes, topic = newPublishing(a, h)
		exact["/session"] = a.auth.Session(a.HandleError("/session", web.WriteProblem))
		exact["/ticket"] = a.auth.Ticket(a.HandleError("/ticket", web.WriteProblem))
	} else {
		exact["/session"] = a.admit("/session", web.WriteProblem, envelopes)
		exact["/ticket"] = a.admit("/ticket", web.WriteProblem, envelopes)
	}
	exact["/publish"] = a.admit("/publish", web.WriteProblem, envelopes)
	return &routes{exact: exact, topic: a.admit("/publish", web.WriteProblem, topic)}
}

// StartingProblem returns the problem with which requests are answered before Start.
func StartingProblem() *problems.Problem {
	p := problems.Unavailable("the hub is starting: its engine is not available yet")
	p.RetryAfter = problems.RetryDelay()
	return p
}

// connectionLog returns the log for the connections of a transport, or nil if they are not logged.
func (a *API) connectionLog(transport string) *connection.Log {
	if !a.cfg.LogConnections {
		return nil
	}
	return &connection.Log{Logger: a.cfg.Log, Transport: transport}
}

// Listener returns a listener for the server of the API. On its connections, the API can detect that a
// client has stopped reading, even over TLS and HTTP/2. The API also works on connections of other
// listeners, but may then need more CPU time for writes.
//
// On Linux without TLS, the long-poll transport hijacks connections of this listener and later returns
// them to their http.Server. The server treats a returned connection as new and calls its ConnContext
// and ConnState hooks again.
func (a *API) Listener(l net.Listener) net.Listener {
	return &connection.Listener{Listener: l, WriteTimeout: a.cfg.WriteTimeout, Registry: a.registry}
}

// WasParked reports whether the long-poll transport has returned this connection to its server. An
// http.Server.ConnState hook may call it for a connection in http.StateNew. If it returns true, the API
// has already answered requests with valid tokens on this connection.
func WasParked(c net.Conn) bool { return connection.WasParked(c) }

// ReleaseTLSBuffers frees the memory in which the handshake of a TLS connection has stored received
// bytes. An http.Server.ConnState hook may call it when a connection enters http.StateActive for the
// first time, because no other goroutine reads from the connection at that time. It must not be called
// for a connection in http.StateIdle.
func ReleaseTLSBuffers(c net.Conn) { connection.ReleaseTLSBuffers(c) }

// Context returns a context for http.Server.BaseContext. If the server uses it, Stats also counts the
// problem documents that the API has sent.
func (a *API) Context() context.Context { return a.publishing }

// IsDraining reports whether Drain has begun.
func (a *API) IsDraining() bool { return a.registry.IsDraining() }

// Drain makes the API refuse new subscriptions. It ends each existing subscription at a random time
// within the window; the subscriber first receives all events that were published before this time.
// Clients can continue to publish. Drain returns when the last subscription has ended. When the window
// or ctx ends, Drain closes the connections of the remaining subscriptions.
func (a *API) Drain(ctx context.Context, window time.Duration) { a.registry.Drain(ctx, window) }

// StopPublishing ends requests that publish a stream of events. The API answers each of them with the
// number of events that it has accepted.
func (a *API) StopPublishing() { a.endPublishing(publish.ErrShutdown) }

// Close closes all connections, and waits until the API's goroutines have ended. It does not close
// the hub.
func (a *API) Close() {
	a.StopPublishing()
	a.registry.Close()
	a.stop()
	a.running.Wait()
}
