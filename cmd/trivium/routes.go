package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/gorilla/mux"

	"github.com/trivium-hub/trivium/auth"
	"github.com/trivium-hub/trivium/transports/connection"
	"github.com/trivium-hub/trivium/transports/longpoll"
	"github.com/trivium-hub/trivium/transports/publish"
	"github.com/trivium-hub/trivium/transports/sse"
	"github.com/trivium-hub/trivium/transports/web"
	"github.com/trivium-hub/trivium/transports/websocket"
	"github.com/trivium-hub/trivium/transports/wire"
	"github.com/trivium-hub/trivium/wasmdemo"
)

// counters count what each transport does.
type counters struct {
	sse, websocket, longpoll connection.Counters
	refused                  websocket.Refusals
	panics                   atomic.Uint64 // of handlers
	problems                 web.ProblemCounts
}

// byTransport names them as metrics and /stats do.
func (c *counters) byTransport() map[string]*connection.Counters {
	return map[string]*connection.Counters{"sse": &c.sse, "websocket": &c.websocket, "longpoll": &c.longpoll}
}

// cut counts the connections that a drain's end cut with something unsaid.
func (c *counters) cut() (n uint64) {
	for _, transport := range c.byTransport() {
		n += transport.ClosedAtDeadline.Load()
	}
	return n
}

const index = `Trivium, a real-time hub.

GET  /sse               events as server-sent events
GET  /ws                events over WebSocket, and publishing
GET  /poll              events by long-poll
POST /publish           publish envelopes: application/json, application/x-ndjson
POST /publish/{topic}   publish the body
POST /session           keep the token in a cookie, for pages that use EventSource
GET  /healthz           200 while the process is alive
GET  /readyz            200 while subscriptions are taken
`

// demoIndex is the line of the index for the demo page.
const demoIndex = "GET  /demo/             a page that shows the three side by side\n"

// newDemo makes the demo page; nil: it is off.
func newDemo(cfg *ServeConfig, log *slog.Logger) *wasmdemo.Demo {
	if !cfg.Demo {
		return nil
	}
	return wasmdemo.New(wasmdemo.Config{
		Checkout: wasmdemo.FindCheckout(), Log: log, WriteTimeout: cfg.WriteTimeout,
		Allow: web.AllowMethods, NotFound: web.NotFound,
	})
}

// publicRoutes joins the transports on the main listener.
func (s *server) publicRoutes() http.Handler {
	cfg, h, group, count := s.cfg, s.hub, s.group, &s.count
	deny, guard := s.door.denials.by, s.door.guard
	// admitted are the routes that need a token; whoever comes so far has one.
	admitted := func(route string, refuse func(http.ResponseWriter, *http.Request, *wire.Problem), next http.Handler) http.Handler {
		return guard.Wrap(deny(route, refuse))(s.open.vouched(next))
	}
	everybody := s.door.free.Wrap(deny("others", web.WriteProblem))
	asCloudEvents := wire.CloudEvents{Source: cfg.CloudEventsSource}
	events := sse.New(sse.Config{
		Hub: h, Registry: group, Access: accessFrom, Counters: &count.sse,
		MaxTopics: cfg.MaxTopics, WriteTimeout: cfg.WriteTimeout, Disconnect: cfg.Slow == "disconnect",
		CleanEnd: cfg.SSEEnd == "clean", CloudEvents: asCloudEvents,
	})
	sockets := websocket.New(websocket.Config{
		Hub: h, Registry: group, Access: accessFrom, Counters: &count.websocket,
		MaxTopics: cfg.MaxTopics, WriteTimeout: cfg.WriteTimeout, Disconnect: cfg.Slow == "disconnect",
		MaxMessage: int64(cfg.MaxMessageBytes), MessageRate: float64(cfg.MaxMessageRate), MaxFragments: cfg.MaxMessageFragments,
		MessageTimeout: cfg.ReadTimeout, Intake: s.intake,
		Refusals: &count.refused, Compression: cfg.WSCompression, CloudEvents: asCloudEvents,
	})
	polls := longpoll.New(longpoll.Config{
		Hub: h, Registry: group, Access: accessFrom, Counters: &count.longpoll,
		MaxTopics: cfg.MaxTopics, WriteTimeout: cfg.WriteTimeout, CloudEvents: asCloudEvents,
	})
	publisher := publish.New(publish.Config{
		Hub: h, Access: accessFrom, LineTimeout: cfg.ReadTimeout, Intake: s.intake, Requests: s.requests,
	})

	// Topics may have what a path must escape, and "." and ".." are for the topic's rules to judge.
	routes := mux.NewRouter().UseEncodedPath().SkipClean(true)
	routes.Handle("/sse", admitted("/sse", events.HandleError, events))
	routes.Handle("/ws", admitted("/ws", sockets.HandleError, sockets))
	routes.Handle("/poll", admitted("/poll", web.WriteProblem, polls))
	publishing := routes.PathPrefix("/publish").Subrouter()
	publishing.Use(func(next http.Handler) http.Handler { return admitted("/publish", web.WriteProblem, next) })
	publishing.HandleFunc("", publisher.ServeEnvelopes)
	publishing.HandleFunc("/{topic:[^/]*}", func(w http.ResponseWriter, r *http.Request) {
		topic, err := url.PathUnescape(mux.Vars(r)["topic"])
		if err != nil {
			web.WriteProblem(w, r, wire.BadParameter("topic", "a % in the path is not followed by two hexadecimal digits"))
			return
		}
		publisher.ServeTopic(w, r, topic)
	})
	routes.Handle("/session", guard.Session(deny("/session", web.WriteProblem)))
	named := index
	if s.demo != nil {
		named += demoIndex
		routes.Handle("/demo", everybody(s.demo))
		routes.PathPrefix("/demo/").Handler(everybody(s.demo))
	}
	routes.Handle("/", everybody(text(named)))
	routes.Handle("/healthz", everybody(text("ok\n")))
	routes.Handle("/readyz", everybody(ready(group, s.away)))
	routes.NotFoundHandler = everybody(http.HandlerFunc(web.NotFound))
	return routes
}

// retryDraining is when to ask again whether the hub is ready: another may be by then.
const retryDraining = 2 * time.Second

// text answers GET and HEAD with a text.
func text(s string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if web.AllowMethods(w, r, http.MethodGet, http.MethodHead) {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			w.Header().Set("Cache-Control", "no-store")
			fmt.Fprint(w, s)
		}
	}
}

// ready says whether a load balancer should send subscribers here.
func ready(group *connection.Registry, away func() error) http.HandlerFunc {
	ok := text("ready\n")
	return func(w http.ResponseWriter, r *http.Request) {
		if group.IsDraining() {
			web.WriteProblem(w, r, wire.Draining(retryDraining))
			return
		}
		if err := away(); err != nil {
			web.WriteProblem(w, r, wire.ProblemOf(err))
			return
		}
		ok(w, r)
	}
}

// refusal is the problem of an error of the guard.
func refusal(err error) *wire.Problem {
	var limit *auth.LimitError
	var unavailable *auth.UnavailableError
	var origin *auth.OriginError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &unavailable):
		return keysUnavailable(unavailable)
	case errors.Is(err, auth.ErrHost):
		return wire.MisdirectedHost("this Host is not served here; --host names those that are")
	case errors.As(err, &origin):
		return wire.ForeignOrigin(err.Error() + originAdvice(origin))
	case errors.Is(err, auth.ErrMethod):
		return wire.MethodNotAllowed("DELETE, POST")
	case errors.Is(err, auth.ErrTwoTokens), errors.Is(err, auth.ErrLoneBearer),
		errors.Is(err, auth.ErrCookieTooLong), errors.Is(err, auth.ErrNotBearer):
		return wire.BadRequest(err.Error())
	case errors.Is(err, auth.ErrNoToken):
		return wire.MissingToken()
	case errors.As(err, &limit):
		return limitProblem(limit)
	case errors.Is(err, auth.ErrTokenEnded):
		return wire.TokenEnded()
	case errors.Is(err, auth.ErrTokenSyntax), errors.Is(err, auth.ErrBadToken), errors.Is(err, auth.ErrTokenNotYet):
		return wire.InvalidToken(err.Error())
	default: // the verifier could not tell
		return wire.ProblemOf(err)
	}
}

// keysSpread is the time over which clients come back that wait for the keys to be fetched again.
const keysSpread = 2 * time.Second

// keysUnavailable tells clients to come back at different times, since all of them are told the time
// of the same fetch.
func keysUnavailable(e *auth.UnavailableError) *wire.Problem {
	problem := wire.Unavailable(e.Error())
	problem.RetryAfter = web.Jitter(e.RetryAfter, e.RetryAfter+keysSpread).Round(time.Millisecond)
	return problem
}

func limitProblem(e *auth.LimitError) *wire.Problem {
	switch e.Limit {
	case auth.LimitConnectRate:
		return wire.TooManyTries(e.Error(), e.RetryAfter)
	case auth.LimitPublishRate:
		return wire.RateLimited(e.Error(), e.RetryAfter)
	default:
		return wire.TooManyConnections(e.Error(), web.RetryDelay())
	}
}
