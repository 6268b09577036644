package sse

import (
	"cmp"
	"context"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/connection"
	"github.com/trivium-hub/trivium/transports/web"
	"github.com/trivium-hub/trivium/transports/wire"
)

// Config is what a Handler is made of.
type Config struct {
	Hub          *hub.Hub
	Registry     *connection.Registry
	Access       web.AccessFunc
	Counters     *connection.Counters
	MaxTopics    int           // filters of a subscription; 0: any number
	WriteTimeout time.Duration // without progress
	Disconnect   bool          // a subscriber that retention has overtaken is sent away
	// CleanEnd ends every stream in order. Otherwise one that its client is to resume is cut, since
	// several libraries take an orderly end for the end of everything.
	CleanEnd bool
	// CloudEvents writes the events of ?format=cloudevents.
	CloudEvents wire.CloudEvents
	// Portable keeps to the write path that every platform has.
	Portable bool
}

// Handler answers GET and HEAD /sse.
type Handler struct {
	cfg     Config
	outlets map[codec]*connection.Config // shared by the connections of each spelling
}

// New makes a Handler.
func New(cfg Config) *Handler {
	h := &Handler{cfg: cfg, outlets: make(map[codec]*connection.Config)}
	for f := range formatCount {
		for _, chunked := range []bool{false, true} {
			c := h.codec(f, chunked)
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

func (h *Handler) codec(f format, chunked bool) codec {
	return codec{format: f, events: h.cfg.CloudEvents, chunked: chunked, clean: h.cfg.CleanEnd}
}

// ServeHTTP begins a stream.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !web.AllowMethods(w, r, http.MethodGet, http.MethodHead) {
		return
	}
	access := h.cfg.Access(r.Context())
	request, c, problem := h.parse(r, access)
	if problem == nil && h.cfg.Registry.IsDraining() {
		problem = wire.Draining(web.RetryDelay())
	}
	if problem != nil {
		h.HandleError(w, r, problem)
		return
	}
	if r.Method == http.MethodHead {
		setHeader(w)
		return
	}
	o := connection.New()
	if problem = access.Acquire(o); problem != nil {
		h.HandleError(w, r, problem)
		return
	}
	if problem = access.ReserveFilters(o, request.Filters); problem != nil {
		access.Release(o)
		h.HandleError(w, r, problem)
		return
	}
	s, err := h.cfg.Hub.Subscribe(request, o)
	if err != nil {
		access.Release(o)
		h.HandleError(w, r, wire.ProblemOf(err))
		return
	}
	opening := c.chunk(nil, wire.AppendSSEOpen(nil, web.RetryDelay(), s.Place()))
	setHeader(w)
	b := &beginning{access: access, codec: c, out: o, subscription: s, opening: opening}
	if r.ProtoMajor > 1 {
		h.serve(w, r, b)
		return
	}
	conn, err := h.hijack(w, c)
	if err != nil {
		b.abandon()
		return
	}
	if !h.start(b, conn) {
		conn.Close()
	}
}

// beginning is a stream that has been let in.
type beginning struct {
	access       web.Access
	codec        codec
	out          *connection.Writer
	subscription *hub.Subscription
	opening      []byte
}

// abandon takes back what was begun, where it comes to no stream.
func (b *beginning) abandon() {
	b.access.Release(b.out)
	b.subscription.Close()
}

// start leaves the connection to the outlet, unless the hub has begun to drain: then the client is
// told, and the connection is still the caller's.
func (h *Handler) start(b *beginning, conn connection.Conn) bool {
	if b.out.Start(h.outlets[b.codec], b.access, b.subscription, conn, b.opening) {
		return true
	}
	last := b.codec.AppendError(b.opening, b.subscription.Place(), wire.Draining(web.RetryDelay()))
	_ = conn.Write(last, h.cfg.WriteTimeout) // nobody is left to be told
	b.abandon()
	return false
}

func (h *Handler) parse(r *http.Request, access web.Access) (hub.Request, codec, *wire.Problem) {
	q, problem := web.ParseQuery(r)
	if problem != nil {
		return hub.Request{}, codec{}, problem
	}
	request, _, problem := web.ParseSubscription(r, q, access.Grant(), h.cfg.MaxTopics)
	if problem != nil {
		return hub.Request{}, codec{}, problem
	}
	f, problem := formatOf(q)
	return request, h.codec(f, r.ProtoAtLeast(1, 1) && r.ProtoMajor == 1), problem
}

// contentType names the charset, since Python's requests takes text for ISO-8859-1 without it.
const contentType = "text/event-stream; charset=utf-8"

func setHeader(w http.ResponseWriter) {
	header := w.Header()
	header.Set("Content-Type", contentType)
	header.Set("Cache-Control", "no-cache, no-transform")
	header.Set("X-Accel-Buffering", "no")
}

// hijack sends the header and takes the connection from net/http, with which the request's
// memory goes.
func (h *Handler) hijack(w http.ResponseWriter, c codec) (connection.Conn, error) {
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
		return connection.NewPortableConn(conn), nil
	}
	return connection.NewConn(conn, h.cfg.WriteTimeout), nil
}

// serve is for HTTP/2, where the handler has to stay.
func (h *Handler) serve(w http.ResponseWriter, r *http.Request, b *beginning) {
	if h.start(b, connection.NewResponseConn(w)) {
		defer context.AfterFunc(r.Context(), b.out.Close)()
		b.out.Wait()
	}
	if !b.out.EndedForGood() {
		h.cut(w)
	}
}

// cut ends the body of a stream that is to be resumed, after what was written: over HTTP/1.1 without
// the last chunk, over HTTP/2 by RST_STREAM with INTERNAL_ERROR.
func (h *Handler) cut(w http.ResponseWriter) {
	if h.cfg.CleanEnd {
		return
	}
	_ = http.NewResponseController(w).Flush() // it fails as the connection does, which ends then anyway
	panic(http.ErrAbortHandler)
}

// position returns where a request says that its client stands, "" where it does not say so.
func position(r *http.Request) string {
	q := r.URL.Query()
	cursor, err := hub.ParseCursor(cmp.Or(wire.LastEventID(q, r.Header.Get("Last-Event-ID")), q.Get("cursor")))
	if err != nil {
		return ""
	}
	return cursor.String()
}

// Refuse answers a request that gets no stream. An EventSource gives up for good on any status
// but 200, so one that is refused for a while only is given a stream that says so and is cut.
func (h *Handler) HandleError(w http.ResponseWriter, r *http.Request, p *wire.Problem) {
	if !p.Temporary() || r.Method != http.MethodGet || !acceptsStream(r) {
		web.WriteProblem(w, r, p)
		return
	}
	web.CountProblem(r, p)
	setHeader(w)
	_, err := w.Write(wire.AppendSSEError(nil, max(web.RetryDelay(), p.RetryAfter), position(r), p))
	if err == nil {
		h.cut(w)
	}
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
