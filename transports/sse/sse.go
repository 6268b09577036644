package sse

import (
	"cmp"
	"context"
	"mime"
	"net/http"
	"time"

	"github.com/trivium-hub/trivium/auth"
	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/internal/connection"
	"github.com/trivium-hub/trivium/transports/internal/web"
	"github.com/trivium-hub/trivium/transports/internal/wire"
	"github.com/trivium-hub/trivium/transports/problems"
)

// Config configures a Handler. Only Hub is required.
type Config struct {
	Hub          *hub.Hub      // required
	Heartbeat    time.Duration // interval between two heartbeats; 0: 15 s
	WriteTimeout time.Duration // time without progress after which the connection is closed; 0: 10 s
	MaxTopics    int           // maximum number of filters per subscription; 0: any number
	Disconnect   bool          // disconnect subscribers that fall behind retention
	// CleanEnd makes the hub terminate the body of every stream cleanly, with a last chunk. By default, a
	// stream that the client should resume ends without a last chunk, because several client libraries
	// never reconnect after a clean end.
	CleanEnd bool
	// CloudEventsSource is the source attribute, with ?format=cloudevents, of events that were not
	// published as CloudEvents; "": urn:trivium:hub.
	CloudEventsSource string
	// Portable disables direct writes: non-blocking writes that bypass the runtime's network poller.
	Portable bool

	// transports.API sets these fields, because its transports share a registry. If Registry or Counters
	// is nil, the handler creates its own.
	Registry *connection.Registry
	Counters *connection.Counters
	Log      *connection.Log // nil: connections are not logged
}

// Handler answers GET and HEAD /sse.
type Handler struct {
	cfg           Config
	shared        connection.Shared
	writerConfigs map[codec]*connection.Config // all connections with the same codec share a Config
}

// New returns a Handler. The caller must call Close.
func New(cfg Config) (*Handler, error) {
	h := newHandler(cfg)
	if err := h.shared.Complete("sse", cfg.Heartbeat); err != nil {
		return nil, err
	}
	for f := range formatCount {
		for _, chunked := range []bool{false, true} {
			c := h.codec(f, chunked)
			h.writerConfigs[c] = h.shared.WriterConfig(c)
		}
	}
	return h, nil
}

func newHandler(cfg Config) *Handler {
	return &Handler{cfg: cfg, writerConfigs: make(map[codec]*connection.Config), shared: connection.Shared{
		Hub: cfg.Hub, Registry: cfg.Registry, Counters: cfg.Counters, WriteTimeout: cfg.WriteTimeout, Disconnect: cfg.Disconnect,
	}}
}

// ErrorHandler returns a function like Handler.HandleError that can be used before the hub exists. It
// ignores cfg.Hub.
func ErrorHandler(cfg Config) func(http.ResponseWriter, *http.Request, *problems.Problem) {
	return newHandler(cfg).HandleError
}

// Close closes the connections and waits for their goroutines, unless Config.Registry was set.
func (h *Handler) Close() { h.shared.Close() }

func (h *Handler) codec(f format, chunked bool) codec {
	return codec{format: f, events: wire.CloudEvents{Source: cmp.Or(h.cfg.CloudEventsSource, wire.DefaultCloudEventsSource)}, chunked: chunked, cleanEnd: h.cfg.CleanEnd}
}

// ServeHTTP starts a stream.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !web.AllowMethods(w, r, http.MethodGet, http.MethodHead) {
		return
	}
	access := auth.AccessFrom(r.Context())
	request, c, problem := h.parseRequest(r, access)
	if problem = cmp.Or(problem, h.shared.Draining()); problem != nil {
		h.HandleError(w, r, problem)
		return
	}
	if r.Method == http.MethodHead {
		setHeader(w)
		return
	}
	writer := connection.New()
	writer.LogTo(h.cfg.Log.NewRecord("", access.Client()))
	subscription, problem := h.shared.Subscribe(access, writer, request)
	if problem != nil {
		h.HandleError(w, r, problem)
		return
	}
	opening := c.AppendMessage(nil, wire.Message{Op: wire.OpHello, ID: subscription.Cursor(), Retry: problems.RetryDelay()})
	setHeader(w)
	b := &pendingStream{access: access, codec: c, writer: writer, subscription: subscription, opening: opening}
	if r.ProtoMajor > 1 {
		h.serveHTTP2(w, r, b)
		return
	}
	conn, err := h.hijack(w, c)
	if err != nil {
		b.abandon()
		return
	}
	if !h.startWriter(b, conn) {
		conn.Close()
	}
}

// pendingStream is a stream whose subscription exists, but whose Writer has not started.
type pendingStream struct {
	access       auth.Access
	codec        codec
	writer       *connection.Writer
	subscription *hub.Subscription
	opening      []byte
}

// abandon releases the access and closes the subscription of a stream whose Writer was not started.
func (b *pendingStream) abandon() {
	b.access.Release(b.writer)
	b.subscription.Close()
}

// startWriter starts the Writer of a stream. If the hub has begun to drain, startWriter instead writes an
// error message to the client and returns false; the caller must then close the connection.
func (h *Handler) startWriter(b *pendingStream, conn connection.Conn) bool {
	if b.writer.Start(h.writerConfigs[b.codec], b.access, b.subscription, conn, b.opening) {
		return true
	}
	last := b.codec.AppendMessage(b.opening, wire.Message{
		Op: wire.OpError, ID: b.subscription.Cursor(), Problem: problems.Draining(problems.RetryDelay()),
	})
	_ = conn.Write(last, h.shared.WriteTimeout) // fails if the client has disconnected
	b.abandon()
	return false
}

func (h *Handler) parseRequest(r *http.Request, access auth.Access) (hub.Request, codec, *problems.Problem) {
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

// contentType contains a charset. Without one, some clients decode the text as ISO-8859-1, for example the
// library "requests" for Python.
const contentType = "text/event-stream; charset=utf-8"

func setHeader(w http.ResponseWriter) {
	header := w.Header()
	header.Set("Content-Type", contentType)
	header.Set("Cache-Control", "no-cache, no-transform")
	header.Set("X-Accel-Buffering", "no")
}

// hijack sends the header and hijacks the connection from net/http, which then frees the memory of the
// request.
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
	// The server has set deadlines for the request, which must not apply to the stream.
	if err := conn.SetDeadline(time.Time{}); err != nil {
		conn.Close()
		return nil, err
	}
	// With direct writes, fan-out workers send the cached encodings unchanged. These are HTTP/1.1
	// chunks, so direct writes require a stream with chunks.
	if h.cfg.Portable || !c.chunked {
		return connection.NewPortableConn(conn), nil
	}
	return connection.NewConn(conn, h.shared.WriteTimeout), nil
}

// serveHTTP2 writes a stream and returns when it has ended.
func (h *Handler) serveHTTP2(w http.ResponseWriter, r *http.Request, b *pendingStream) {
	if h.startWriter(b, connection.NewResponseConn(w)) {
		defer context.AfterFunc(r.Context(), b.writer.Close)()
		b.writer.Wait()
	}
	if !b.writer.EndedForGood() {
		h.abortBody(w)
	}
}

// abortBody is called after the last message of a stream that the client should resume. Unless CleanEnd
// is set, it terminates the body with an error: over HTTP/1.1 the last chunk is missing, over HTTP/2 the
// stream is reset with INTERNAL_ERROR.
func (h *Handler) abortBody(w http.ResponseWriter) {
	if h.cfg.CleanEnd {
		return
	}
	_ = http.NewResponseController(w).Flush() // if this fails, the connection is broken and ends anyway
	panic(http.ErrAbortHandler)
}

// clientPosition returns the cursor that a request contains, or "" if it contains no valid cursor.
func clientPosition(r *http.Request) string {
	q, _ := auth.Query(r) // if the query is malformed, returns its valid part
	cursor, err := hub.ParseCursor(cmp.Or(wire.LastEventID(q, r.Header.Get("Last-Event-ID")), q.Get("cursor")))
	if err != nil {
		return ""
	}
	return cursor.String()
}

// HandleError answers a refused request with a problem. An EventSource never reconnects after a status
// other than 200. Therefore, if the problem is temporary and the client accepts streams, HandleError
// answers with status 200 and a stream that contains only an error message.
func (h *Handler) HandleError(w http.ResponseWriter, r *http.Request, p *problems.Problem) {
	if !p.Temporary() || r.Method != http.MethodGet || !acceptsStream(r) {
		web.WriteProblem(w, r, p)
		return
	}
	web.CountProblem(r, p)
	setHeader(w)
	last := wire.Message{Op: wire.OpError, ID: clientPosition(r), Problem: p, Retry: max(problems.RetryDelay(), p.RetryAfter)}
	_, err := w.Write(last.AppendSSE(nil))
	if err == nil {
		h.abortBody(w)
	}
}

// acceptsStream reports whether the header Accept names the media type of event streams. A wildcard such
// as */* does not suffice.
func acceptsStream(r *http.Request) bool {
	for part := range web.Elements(r.Header.Values("Accept")) {
		if kind, _, err := mime.ParseMediaType(part); err == nil && kind == "text/event-stream" {
			return true
		}
	}
	return false
}
