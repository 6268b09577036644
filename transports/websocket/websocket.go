package websocket

import (
	"cmp"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/net/http/httpguts"
	"golang.org/x/time/rate"

	"github.com/trivium-hub/trivium/auth"
	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/internal/connection"
	"github.com/trivium-hub/trivium/transports/internal/intake"
	"github.com/trivium-hub/trivium/transports/internal/web"
	"github.com/trivium-hub/trivium/transports/internal/wire"
	"github.com/trivium-hub/trivium/transports/problems"
)

// Protocol is the subprotocol that is selected if the client offers it.
const Protocol = "trivium.v1"

// Defaults of Config.
const (
	DefaultMaxMessage   = 64 << 10 // bytes
	DefaultMaxFragments = 1024     // frames
	DefaultMessageRate  = 100      // per second
)

// Config configures a Handler. Only Hub is required.
type Config struct {
	Hub          *hub.Hub      // required
	Heartbeat    time.Duration // interval between two heartbeats; 0: 15 s
	WriteTimeout time.Duration // time without progress after which a connection is closed; 0: 10 s
	MaxTopics    int           // maximum number of filters per connection; 0: any number
	Disconnect   bool          // disconnect subscribers that fall behind retention
	Compression  bool          // accept permessage-deflate
	MaxMessage   int64         // maximum size of a client's message, before and after decompression, in bytes; 0: DefaultMaxMessage
	MaxFragments int           // maximum number of frames of a client's message; 0: DefaultMaxFragments
	MessageRate  float64       // maximum number of a client's messages, pings and pongs per second; 0: DefaultMessageRate
	// MessageTimeout determines the timeout for receiving a message of a client: six times
	// MessageTimeout, plus MessageTimeout per MiB of MaxMessage; 0: no timeout.
	MessageTimeout time.Duration
	// CloudEventsSource is the source attribute, with ?format=cloudevents, of events that were not
	// published as CloudEvents; "": urn:trivium:hub.
	CloudEventsSource string
	// Portable disables direct writes: non-blocking writes that bypass the runtime's network poller.
	Portable bool

	Refusals  *Refusals      // counts connections that are closed because of invalid input; nil: they are not counted
	Published *atomic.Uint64 // counts the published events; nil: they are not counted

	// transports.API sets these fields, because its transports share them. If Registry or Counters is
	// nil, the handler creates its own. If Intake is nil, only MaxMessage limits the memory of messages.
	Registry *connection.Registry
	Counters *connection.Counters
	Log      *connection.Log // nil: connections are not logged
	Intake   *intake.Budget
}

// Handler answers GET /ws.
type Handler struct {
	cfg           Config
	shared        connection.Shared
	writerConfigs map[codec]*connection.Config // all connections with the same codec share a Config
	cloudEvents   wire.CloudEvents
	rejected      rejectLimiter
}

// New returns a Handler. The caller must call Close.
func New(cfg Config) (*Handler, error) {
	if cfg.MaxMessage < 0 || cfg.MaxFragments < 0 || cfg.MessageRate < 0 || cfg.MessageTimeout < 0 {
		return nil, errors.New("websocket: Config.MaxMessage, MaxFragments, MessageRate and MessageTimeout must not be negative")
	}
	h := newHandler(cfg)
	if err := h.shared.Complete("websocket", cfg.Heartbeat); err != nil {
		return nil, err
	}
	for _, cloudEvents := range []bool{false, true} {
		for _, deflate := range []bool{false, true} {
			c := h.codec(deflate, cloudEvents)
			h.writerConfigs[c] = h.shared.WriterConfig(c)
		}
	}
	return h, nil
}

// ErrorHandler returns a function like Handler.HandleError that can be used before the hub exists. It
// requires cfg.Registry and ignores cfg.Hub.
func ErrorHandler(cfg Config) func(http.ResponseWriter, *http.Request, *problems.Problem) {
	return newHandler(cfg).HandleError
}

// Close closes the connections and waits for their goroutines, unless Config.Registry was set.
func (h *Handler) Close() { h.shared.Close() }

func newHandler(cfg Config) *Handler {
	cfg.MaxMessage = cmp.Or(cfg.MaxMessage, DefaultMaxMessage)
	cfg.MaxFragments = cmp.Or(cfg.MaxFragments, DefaultMaxFragments)
	cfg.MessageRate = cmp.Or(cfg.MessageRate, DefaultMessageRate)
	cfg.Refusals = cmp.Or(cfg.Refusals, new(Refusals))
	return &Handler{
		cfg: cfg, writerConfigs: make(map[codec]*connection.Config), shared: connection.Shared{
			Hub: cfg.Hub, Registry: cfg.Registry, Counters: cfg.Counters, WriteTimeout: cfg.WriteTimeout, Disconnect: cfg.Disconnect,
		},
		cloudEvents: wire.CloudEvents{Source: cmp.Or(cfg.CloudEventsSource, wire.DefaultCloudEventsSource)},
	}
}

func (h *Handler) codec(deflate, cloudEvents bool) codec {
	c := codec{deflate: deflate}
	if cloudEvents {
		c.cloudEvents = &h.cloudEvents
	}
	return c
}

// ServeHTTP performs the handshake and starts a session.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !checkHandshake(w, r) {
		return
	}
	s := &session{h: h, access: auth.AccessFrom(r.Context())}
	request, cloudEvents, problem := s.parseQuery(r)
	if problem = cmp.Or(problem, h.shared.Draining()); problem != nil {
		h.HandleError(w, r, problem)
		return
	}
	// The subscription starts before the handshake, so that the client receives all events that are
	// published after the handshake.
	s.out = connection.New()
	subscription, problem := h.shared.Subscribe(s.access, s.out, request)
	if problem != nil {
		h.HandleError(w, r, problem)
		return
	}
	u, err := h.upgrade(w, r)
	if err != nil {
		s.access.Release(s.out)
		subscription.Close()
		return // the library has answered, or the client has disconnected
	}
	s.start(u, subscription, cloudEvents)
}

// start writes the hello message and starts reading.
func (s *session) start(u *upgrade, subscription *hub.Subscription, cloudEvents bool) {
	s.frames = frameReader{
		limits:  &s.h.cfg,
		limiter: rate.NewLimiter(rate.Limit(s.h.cfg.MessageRate), max(1, int(s.h.cfg.MessageRate))),
		deflate: u.deflate,
	}
	config := s.h.writerConfigs[s.h.codec(u.deflate, cloudEvents)]
	s.conn = lingeringConn{s.h.newConn(u), s}
	id := uuid.NewString()
	s.out.LogTo(s.h.cfg.Log.NewRecord(id, s.access.Client()))
	hello := wire.Message{Op: wire.OpHello, ID: subscription.Cursor(), Session: id, Heartbeat: s.h.shared.Registry.Heartbeat()}
	if !s.out.Start(config, s.access, subscription, &s.conn, config.Codec.AppendMessage(nil, hello)) {
		s.access.Release(s.out)
		subscription.Close()
		sendLastMessage(s.conn.Duplex, wire.Message{Op: wire.OpGoaway, Retry: problems.RetryDelay()})
		return
	}
	early := u.early // the closure below must not keep u in memory
	// A TLS connection may already hold input, and NotifyReadable handles this input in the caller's
	// goroutine. Therefore, over TLS, readLoop calls NotifyReadable in another goroutine.
	_, secured := u.conn.(*tls.Conn)
	if secured || len(early) > 0 || !s.out.NotifyReadable(s) {
		s.h.shared.Registry.Go(func() { s.readLoop(early) })
	}
}

// newConn returns the Duplex for a connection whose handshake is done.
func (h *Handler) newConn(u *upgrade) connection.Duplex {
	if h.cfg.Portable {
		return connection.NewPortableConn(u.conn)
	}
	return connection.NewConn(u.conn, h.shared.WriteTimeout)
}

// parseQuery parses the query. It returns the initial subscription, and whether to send events as
// CloudEvents.
func (s *session) parseQuery(r *http.Request) (request hub.Request, cloudEvents bool, problem *problems.Problem) {
	q, problem := web.ParseQuery(r)
	if problem == nil {
		problem = checkSubscribe(q)
	}
	if problem == nil {
		cloudEvents, problem = web.ParseFormat(q)
	}
	if problem == nil {
		request, problem = s.parseInitialSubscription(r, q)
	}
	return request, cloudEvents, problem
}

// parseInitialSubscription parses the parameters of the initial subscription.
func (s *session) parseInitialSubscription(r *http.Request, q url.Values) (hub.Request, *problems.Problem) {
	if q.Has("subscribe") {
		return s.parseQueryWithoutTopics(r, q)
	}
	request, filters, problem := web.ParseSubscription(r, q, s.access.Grant(), s.h.cfg.MaxTopics)
	s.filters = slices.CompactFunc(slices.SortedFunc(slices.Values(filters), byText), func(a, b hub.Filter) bool { return a == b })
	if len(s.filters) == 0 {
		s.grantedSet = request.Filters
	}
	return request, problem
}

// parseQueryWithoutTopics parses the query of a connection that starts without topics, because of
// ?subscribe=none. The token needs no right to subscribe.
func (s *session) parseQueryWithoutTopics(r *http.Request, q url.Values) (hub.Request, *problems.Problem) {
	selection, err := wire.ParseSelection(q, r.Header.Get("Last-Event-ID"), 0, time.Now())
	switch {
	case err != nil:
		return hub.Request{}, problems.Of(err)
	case s.access.Grant() == nil:
		return hub.Request{}, problems.TokenEnded()
	}
	if start := selection.Request.Start; start != (hub.Start{}) {
		s.pendingStart = &start
	}
	return selection.Request, nil
}

// checkSubscribe checks the parameter subscribe. Its only valid value is none, which means that the
// connection starts without topics.
func checkSubscribe(q url.Values) *problems.Problem {
	switch values := q["subscribe"]; {
	case len(values) == 0:
		return nil
	case len(values) > 1 || values[0] != "none":
		return problems.BadParameter("subscribe", `must be "none", given once`)
	case q.Has("topic"):
		return problems.BadParameter("subscribe", "none and a topic exclude each other")
	}
	return nil
}

// HandleError answers a refused request. A page in a browser cannot read the status of a refused
// handshake. Therefore, if the request has an Origin, HandleError accepts the handshake, sends the error
// over the WebSocket and closes it. Package auth has already checked that the origin is allowed.
func (h *Handler) HandleError(w http.ResponseWriter, r *http.Request, p *problems.Problem) {
	if r.Header.Get("Origin") == "" || handshakeProblem(r) != nil || !h.rejected.acquire() {
		web.WriteProblem(w, r, p)
		return
	}
	u, err := h.upgrade(w, r)
	if err != nil {
		h.rejected.release()
		return
	}
	web.CountProblem(r, p)
	last := wire.Message{Op: wire.OpError, Problem: p}
	if p.Code == problems.CodeDraining {
		last = wire.Message{Op: wire.OpGoaway, Retry: p.RetryAfter}
	}
	h.shared.Registry.Go(func() {
		defer h.rejected.release()
		sendLastMessage(connection.NewPortableConn(u.conn), last)
	})
}

// rejectLimiter limits the number of refused connections that stay open for their error message. The
// limits on connections do not count them, because a refused connection does not acquire an auth.Access.
type rejectLimiter struct{ n atomic.Int64 }

const maxRejected = 1024

// acquire reports whether another refused connection may stay open.
func (f *rejectLimiter) acquire() bool {
	if f.n.Add(1) > maxRejected {
		f.release()
		return false
	}
	return true
}

func (f *rejectLimiter) release() { f.n.Add(-1) }

// rejectedCloseTimeout is the time after which a refused connection is closed, even if the peer has not
// answered the close frame.
const rejectedCloseTimeout = time.Second

// sendLastMessage writes a message and a close frame to a connection that has no Writer. Then it waits
// until the peer closes the connection, for at most rejectedCloseTimeout, and closes the connection.
func sendLastMessage(conn connection.Duplex, last wire.Message) {
	defer conn.Close() // does not block
	defer time.AfterFunc(rejectedCloseTimeout, conn.Close).Stop()
	if conn.Write(codec{}.AppendMessage(nil, last), rejectedCloseTimeout) == nil {
		// If the hub closed the socket with unread input, the connection would be reset, and the peer
		// might not receive the last message.
		_, _ = io.Copy(io.Discard, io.LimitReader(conn, 1<<20))
	}
}

// checkHandshake reports whether a request is a valid handshake (RFC 6455, section 4.2.1). If not,
// checkHandshake answers the request.
func checkHandshake(w http.ResponseWriter, r *http.Request) bool {
	if !web.AllowMethods(w, r, http.MethodGet) {
		return false
	}
	p := handshakeProblem(r)
	if p == nil {
		return true
	}
	if p.Status == http.StatusUpgradeRequired && r.ProtoMajor == 1 { // HTTP/2 forbids these headers
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "websocket")
		w.Header().Set("Sec-WebSocket-Version", "13")
	}
	web.WriteProblem(w, r, p)
	return false
}

// handshakeProblem returns the problem for a request that is not a valid handshake, otherwise nil.
func handshakeProblem(r *http.Request) *problems.Problem {
	keys := r.Header.Values("Sec-WebSocket-Key")
	switch {
	case r.Method != http.MethodGet || r.ProtoMajor != 1 || r.ProtoMinor < 1,
		!httpguts.HeaderValuesContainsToken(r.Header.Values("Connection"), "upgrade"),
		!httpguts.HeaderValuesContainsToken(r.Header.Values("Upgrade"), "websocket"),
		r.Header.Get("Sec-WebSocket-Version") != "13":
		return problems.UpgradeRequired()
	case len(keys) != 1 || !validKey(keys[0]):
		return problems.BadParameter("Sec-WebSocket-Key", "must be given once, as 16 bytes in base64")
	}
	return nil
}

func validKey(key string) bool {
	nonce, err := base64.StdEncoding.DecodeString(strings.TrimSpace(key))
	return err == nil && len(nonce) == 16
}
