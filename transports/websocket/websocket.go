package websocket

import (
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/time/rate"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/connection"
	"github.com/trivium-hub/trivium/transports/intake"
	"github.com/trivium-hub/trivium/transports/web"
	"github.com/trivium-hub/trivium/transports/wire"
)

// Protocol is the subprotocol that is chosen if it is offered.
const Protocol = "trivium.v1"

// Defaults of Config.
const (
	DefaultMaxMessage   = 64 << 10 // bytes
	DefaultMaxFragments = 1024     // frames
	DefaultMessageRate  = 100      // a second
)

// Config is what a Handler is made of.
type Config struct {
	Hub          *hub.Hub
	Registry     *connection.Registry
	Access       web.AccessFunc
	Counters     *connection.Counters
	MaxTopics    int       // filters of a connection; 0: any number
	Refusals     *Refusals // nil: nobody looks
	MaxMessage   int64     // bytes of a client's message, as it comes and after decompression; 0: DefaultMaxMessage
	MaxFragments int       // frames of a client's message; 0: DefaultMaxFragments
	MessageRate  float64   // of a client's messages, pings and pongs, a second; 0: DefaultMessageRate
	// MessageTimeout is the time for a part of a message; for the whole, see intake.TimeFor. 0: none.
	MessageTimeout time.Duration
	Intake         *intake.Budget // bounds what messages hold that are arriving; nil: nothing does
	WriteTimeout   time.Duration  // without progress
	Disconnect     bool           // a subscriber that retention has overtaken is sent away
	Compression    bool           // offer permessage-deflate
	// CloudEvents writes the events of ?format=cloudevents.
	CloudEvents wire.CloudEvents
	// Portable keeps to the write path that every platform has.
	Portable bool
}

// Handler answers GET /ws.
type Handler struct {
	cfg       Config
	outlets   map[codec]*connection.Config // shared by the connections of each format
	farewells farewells
}

// New makes a Handler.
func New(cfg Config) *Handler {
	if cfg.MaxMessage == 0 {
		cfg.MaxMessage = DefaultMaxMessage
	}
	if cfg.MaxFragments == 0 {
		cfg.MaxFragments = DefaultMaxFragments
	}
	if cfg.Refusals == nil {
		cfg.Refusals = new(Refusals)
	}
	if cfg.MessageRate == 0 {
		cfg.MessageRate = DefaultMessageRate
	}
	h := &Handler{cfg: cfg, outlets: make(map[codec]*connection.Config)}
	for _, cloudEvents := range []bool{false, true} {
		for _, deflate := range []bool{false, true} {
			c := h.codec(deflate, cloudEvents)
			h.outlets[c] = &connection.Config{
				Codec:        c,
				Counters:     cfg.Counters,
				Registry:     cfg.Registry,
				WriteTimeout: cfg.WriteTimeout,
				Disconnect:   cfg.Disconnect,
			}
		}
	}
	return h
}

func (h *Handler) codec(deflate, cloudEvents bool) codec {
	c := codec{deflate: deflate}
	if cloudEvents {
		c.cloudEvents = &h.cfg.CloudEvents
	}
	return c
}

// ServeHTTP begins a connection.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !checkHandshake(w, r) {
		return
	}
	s := &session{h: h, access: h.cfg.Access(r.Context())}
	request, problem := s.parse(r)
	if problem == nil && h.cfg.Registry.IsDraining() {
		problem = wire.Draining(web.ComeBack())
	}
	if problem != nil {
		h.Refuse(w, r, problem)
		return
	}
	// Before the handshake: what is published once the client knows of it is for this client.
	s.out = connection.New()
	if problem = s.access.Acquire(s.out); problem != nil {
		h.Refuse(w, r, problem)
		return
	}
	if problem = s.access.ReserveFilters(s.out, request.Filters); problem != nil {
		s.access.Release(s.out)
		h.Refuse(w, r, problem)
		return
	}
	subscription, err := h.cfg.Hub.Subscribe(request, s.out)
	if err != nil {
		s.access.Release(s.out)
		h.Refuse(w, r, wire.ProblemOf(err))
		return
	}
	u, err := h.upgrade(w, r)
	if err != nil {
		s.access.Release(s.out)
		subscription.Close()
		return // the library has answered, or there is nobody to answer
	}
	cloudEvents, _ := web.Format(r.URL.Query()) // parse has checked it
	s.start(u, subscription, cloudEvents)
}

// start says hello and leaves the connection to who reads it.
func (s *session) start(u *upgrade, subscription *hub.Subscription, cloudEvents bool) {
	s.conn = u.conn
	s.frames = frames{
		limits:  &s.h.cfg,
		limiter: rate.NewLimiter(rate.Limit(s.h.cfg.MessageRate), max(1, int(s.h.cfg.MessageRate))),
		deflate: u.deflate,
	}
	config := s.h.outlets[s.h.codec(u.deflate, cloudEvents)]
	conn := lingering{connection.NewPortableConn(u.conn), s}
	if !s.h.cfg.Portable {
		conn.Conn = connection.NewConn(u.conn, s.h.cfg.WriteTimeout)
	}
	hello := wire.AppendHello(nil, subscription.Place(), uuid.NewString(), s.h.cfg.Registry.Heartbeat())
	if !s.out.Start(config, s.access, subscription, conn, wire.AppendTextFrame(nil, hello)) {
		s.access.Release(s.out)
		subscription.Close()
		farewell(u.conn, codec{}.AppendGoaway(nil, "", web.ComeBack()))
		return
	}
	early := u.early // nothing else of the request stays
	if len(early) > 0 || !s.out.NotifyReadable(s) {
		s.h.cfg.Registry.Go(func() { s.listen(early) })
	}
}

// parse reads the query: what is subscribed to from the beginning.
func (s *session) parse(r *http.Request) (hub.Request, *wire.Problem) {
	q, problem := web.Query(r)
	if problem != nil {
		return hub.Request{}, problem
	}
	if problem := checkSubscribe(q); problem != nil {
		return hub.Request{}, problem
	}
	if _, problem := web.Format(q); problem != nil {
		return hub.Request{}, problem
	}
	if q.Has("subscribe") {
		return s.parseNone(r, q)
	}
	request, filters, problem := web.Subscription(r, q, s.access.Grant(), s.h.cfg.MaxTopics)
	s.filters = slices.CompactFunc(slices.SortedFunc(slices.Values(filters), byText), func(a, b hub.Filter) bool { return a == b })
	if len(s.filters) == 0 {
		s.granted = request.Filters
	}
	return request, problem
}

// parseNone is parse for a connection that begins with no topics, and so needs no right to read.
func (s *session) parseNone(r *http.Request, q url.Values) (hub.Request, *wire.Problem) {
	selection, err := wire.ParseSelection(q, r.Header.Get("Last-Event-ID"), 0, time.Now())
	switch {
	case err != nil:
		return hub.Request{}, wire.ProblemOf(err)
	case s.access.Grant() == nil:
		return hub.Request{}, wire.TokenEnded()
	}
	if selection.Start != (hub.Start{}) {
		s.pending = &selection.Start
	}
	return hub.Request{Start: selection.Start, Conflate: selection.Conflate}, nil
}

// checkSubscribe: the parameter subscribe says only that there are no topics yet.
func checkSubscribe(q url.Values) *wire.Problem {
	switch values := q["subscribe"]; {
	case len(values) == 0:
		return nil
	case len(values) > 1 || values[0] != "none":
		return wire.BadParameter("subscribe", `must be "none", once`)
	case q.Has("topic"):
		return wire.BadParameter("subscribe", "none and a topic exclude each other")
	}
	return nil
}

// Refuse answers a request that gets no connection. A page cannot see the status of a refused
// handshake; so one whose Origin was allowed is upgraded, told, and closed.
func (h *Handler) Refuse(w http.ResponseWriter, r *http.Request, p *wire.Problem) {
	if r.Header.Get("Origin") == "" || handshakeProblem(r) != nil || !h.farewells.take() {
		web.WriteProblem(w, r, p)
		return
	}
	u, err := h.upgrade(w, r)
	if err != nil {
		h.farewells.give()
		return
	}
	web.Count(r, p)
	last := codec{}.AppendError(nil, "", p)
	if p.Code == wire.CodeDraining {
		last = codec{}.AppendGoaway(nil, "", p.RetryAfter)
	}
	h.cfg.Registry.Go(func() {
		defer h.farewells.give()
		farewell(u.conn, last)
	})
}

// farewells counts the refused connections that are kept for their close handshake. These are
// nobody's by any other count, and come before any token was good.
type farewells struct{ n atomic.Int64 }

const maxFarewells = 1024

// take reports whether there may be one more.
func (f *farewells) take() bool {
	if f.n.Add(1) > maxFarewells {
		f.give()
		return false
	}
	return true
}

func (f *farewells) give() { f.n.Add(-1) }

// farewellTimeout bounds how long a refused connection is kept for its close handshake.
const farewellTimeout = time.Second

// farewell says the last on a connection that has no connection.
func farewell(conn net.Conn, last []byte) {
	defer connection.NewPortableConn(conn).Close() // it does not wait
	if err := conn.SetDeadline(time.Now().Add(farewellTimeout)); err != nil {
		return
	}
	if _, err := conn.Write(last); err == nil {
		// To close with something unread would reset the connection, and take the last words
		// back from a peer that has not read them.
		_, _ = io.Copy(io.Discard, io.LimitReader(conn, 1<<20))
	}
}

// checkHandshake answers a request that is no handshake of RFC 6455 (section 4.2.1).
func checkHandshake(w http.ResponseWriter, r *http.Request) bool {
	if !web.Allow(w, r, http.MethodGet) {
		return false
	}
	p := handshakeProblem(r)
	if p == nil {
		return true
	}
	if p.Status == http.StatusUpgradeRequired && r.ProtoMajor == 1 { // HTTP/2 has no such fields
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "websocket")
		w.Header().Set("Sec-WebSocket-Version", "13")
	}
	web.WriteProblem(w, r, p)
	return false
}

func handshakeProblem(r *http.Request) *wire.Problem {
	keys := r.Header.Values("Sec-WebSocket-Key")
	switch {
	case r.Method != http.MethodGet || r.ProtoMajor != 1 || r.ProtoMinor < 1,
		!hasToken(r.Header.Values("Connection"), "upgrade"),
		!hasToken(r.Header.Values("Upgrade"), "websocket"),
		r.Header.Get("Sec-WebSocket-Version") != "13":
		return wire.UpgradeRequired()
	case len(keys) != 1 || !validKey(keys[0]):
		return wire.BadParameter("Sec-WebSocket-Key", "must stand once, 16 bytes in base64")
	}
	return nil
}

func validKey(key string) bool {
	nonce, err := base64.StdEncoding.DecodeString(strings.TrimSpace(key))
	return err == nil && len(nonce) == 16
}

// hasToken looks in a field that is a comma-separated list.
func hasToken(fields []string, token string) bool {
	for _, field := range fields {
		for part := range strings.SplitSeq(field, ",") {
			if strings.EqualFold(strings.TrimSpace(part), token) {
				return true
			}
		}
	}
	return false
}
