package sse

import (
	"context"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/outlet"
	"github.com/trivium-hub/trivium/transports/web"
	"github.com/trivium-hub/trivium/transports/wire"
)

// Config is what a Handler is made of.
type Config struct {
	Hub          *hub.Hub
	Group        *outlet.Group
	Grant        web.GrantFunc
	Counters     *outlet.Counters
	MaxTopics    int           // filters of a subscription; 0: any number
	WriteTimeout time.Duration // without progress
	Disconnect   bool          // a subscriber that retention has overtaken is sent away
	// Portable keeps to the write path that every platform has.
	Portable bool
}

// Handler answers GET and HEAD /sse.
type Handler struct {
	cfg     Config
	outlets map[codec]*outlet.Config // shared by the connections of each spelling
}

// New makes a Handler.
func New(cfg Config) *Handler {
	h := &Handler{cfg: cfg, outlets: make(map[codec]*outlet.Config)}
	for _, c := range []codec{{false, false}, {false, true}, {true, false}, {true, true}} {
		h.outlets[c] = &outlet.Config{
			Codec:        c,
			Counters:     cfg.Counters,
			Group:        cfg.Group,
			WriteTimeout: cfg.WriteTimeout,
			Disconnect:   cfg.Disconnect,
		}
	}
	return h
}

// ServeHTTP begins a stream.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !web.Allow(w, r, http.MethodGet, http.MethodHead) {
		return
	}
	request, c, problem := h.parse(r)
	if problem == nil && h.cfg.Group.IsDraining() {
		problem = wire.Draining(web.ComeBack())
	}
	if problem != nil {
		h.Refuse(w, r, problem)
		return
	}
	if r.Method == http.MethodHead {
		setHeader(w)
		return
	}
	o := outlet.New()
	s, err := h.cfg.Hub.Subscribe(request, o)
	if err != nil {
		h.Refuse(w, r, wire.ProblemOf(err))
		return
	}
	opening := c.chunk(nil, wire.AppendSSEOpen(nil, web.ComeBack(), s.Begin()))
	setHeader(w)
	if r.ProtoMajor > 1 {
		h.serve(w, r, c, o, s, opening)
		return
	}
	conn, err := h.hijack(w, c)
	if err != nil {
		s.Close()
		return
	}
	if !o.Start(h.outlets[c], s, conn, opening) {
		late := wire.Draining(web.ComeBack())
		_ = conn.Write(c.AppendError(opening, late), h.cfg.WriteTimeout)
		conn.Close()
		s.Close()
	}
}

func (h *Handler) parse(r *http.Request) (hub.Request, codec, *wire.Problem) {
	q, problem := web.Query(r)
	if problem != nil {
		return hub.Request{}, codec{}, problem
	}
	request, _, problem := web.Subscription(r, q, h.cfg.Grant(r.Context()), h.cfg.MaxTopics)
	if problem != nil {
		return hub.Request{}, codec{}, problem
	}
	envelope, problem := web.Flag(q, "envelope")
	return request, codec{envelope: envelope, chunked: r.ProtoAtLeast(1, 1) && r.ProtoMajor == 1}, problem
}

func setHeader(w http.ResponseWriter) {
	header := w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-cache, no-transform")
	header.Set("X-Accel-Buffering", "no")
}

// hijack sends the header and takes the connection from net/http, with which the request's
// memory goes.
func (h *Handler) hijack(w http.ResponseWriter, c codec) (outlet.Conn, error) {
	control := http.NewResponseController(w)
	w.WriteHeader(http.StatusOK)
	if err := control.Flush(); err != nil {
		return nil, err
	}
	conn, _, err := control.Hijack()
	if err != nil {
		return nil, err
	}
	// The server's deadlines were for the request.
	if err := conn.SetDeadline(time.Time{}); err != nil {
		conn.Close()
		return nil, err
	}
	// What is written directly is as the hub keeps it, in chunks.
	if h.cfg.Portable || !c.chunked {
		return outlet.NewPortableConn(conn), nil
	}
	return outlet.NewConn(conn, h.cfg.WriteTimeout), nil
}

// serve is for HTTP/2, where the handler has to stay.
func (h *Handler) serve(w http.ResponseWriter, r *http.Request, c codec, o *outlet.Outlet, s *hub.Subscription, opening []byte) {
	conn := outlet.NewResponseConn(w)
	if !o.Start(h.outlets[c], s, conn, opening) {
		_ = conn.Write(c.AppendError(opening, wire.Draining(web.ComeBack())), h.cfg.WriteTimeout)
		s.Close()
		return
	}
	defer context.AfterFunc(r.Context(), o.Close)()
	o.Wait()
}

// Refuse answers a request that gets no stream. An EventSource gives up for good on any status
// but 200, so one that is refused for a while only is given a stream that says so and ends.
func (h *Handler) Refuse(w http.ResponseWriter, r *http.Request, p *wire.Problem) {
	temporary := p.Status == http.StatusTooManyRequests || p.Status == http.StatusServiceUnavailable
	if !temporary || r.Method != http.MethodGet || !acceptsStream(r) {
		web.WriteProblem(w, r, p)
		return
	}
	setHeader(w)
	_, _ = w.Write(wire.AppendSSEError(nil, max(web.ComeBack(), p.RetryAfter), p)) // nobody is left to be told
}

// acceptsStream reports whether Accept names the media type of event streams; */* does not.
func acceptsStream(r *http.Request) bool {
	for _, field := range r.Header.Values("Accept") {
		for part := range strings.SplitSeq(field, ",") {
			if kind, _, err := mime.ParseMediaType(part); err == nil && kind == "text/event-stream" {
				return true
			}
		}
	}
	return false
}
