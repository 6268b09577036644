package publish

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/trivium-hub/trivium/auth"
	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/internal/intake"
	"github.com/trivium-hub/trivium/transports/internal/web"
	"github.com/trivium-hub/trivium/transports/internal/wire"
	"github.com/trivium-hub/trivium/transports/problems"
)

// MaxEvents is the maximum length of an array of envelopes (docs/protocol.md#publishing-over-http).
const MaxEvents = 1000

const (
	// maxEscape is the maximum number of bytes that one byte of text needs in JSON, for example in
	// \u0000.
	maxEscape = 6
	// bodyOverhead limits the size of everything in a body except the data of the event: the other
	// members of the envelope, and white space.
	bodyOverhead = 64 << 10 // bytes
	// minMaxBody is the minimum size limit for a body of envelopes. The limit is higher if a single
	// envelope may be larger. The hub keeps the whole body in memory.
	minMaxBody = 16 << 20 // bytes
)

// Config configures a Handler. Only Hub is required.
type Config struct {
	Hub *hub.Hub // required
	// LineTimeout is the timeout for receiving a line of a stream, and for each 16 KiB of a longer line
	// or of a body that is not a stream. It applies only to the time that is spent waiting for the
	// client. The client may pause for any length of time between two lines. 0: no timeout.
	LineTimeout time.Duration
	// Requests is a context that is canceled with the cause ErrShutdown when the handler must accept no
	// more events; nil: this never occurs.
	Requests context.Context
	// Published counts the published events; nil: they are not counted.
	Published *atomic.Uint64
	// Intake limits the memory of bodies that are being received. transports.API sets it; nil: the
	// handler creates a Budget for itself.
	Intake *intake.Budget
}

// LargestBody returns the size limit for a body of envelopes, in bytes. maxEventSize is the hub's size
// limit for the data of an event.
func LargestBody(maxEventSize int) int64 {
	return max(int64(maxLine(maxEventSize)), minMaxBody)
}

// maxLine returns the size limit for one envelope, in bytes.
func maxLine(maxEventSize int) int {
	return min(maxEventSize, math.MaxInt/maxEscape-bodyOverhead)*maxEscape + bodyOverhead
}

// Handler answers the publishing routes.
type Handler struct {
	hub         *hub.Hub
	lineTimeout time.Duration
	maxData     int   // size limit for a body that is the data of an event, in bytes
	maxLine     int   // size limit for one envelope in a stream, in bytes
	maxBody     int64 // size limit for a body with an envelope or an array of envelopes, in bytes
	intake      *intake.Budget
	requests    context.Context
	published   *atomic.Uint64
}

// New returns a Handler.
func New(config Config) (*Handler, error) {
	switch {
	case config.Hub == nil:
		return nil, errors.New("publish: Config.Hub is required")
	case config.LineTimeout < 0:
		return nil, errors.New("publish: Config.LineTimeout must not be negative")
	}
	size := config.Hub.MaxEventSize()
	if config.Requests == nil {
		config.Requests = context.Background()
	}
	if config.Published == nil {
		config.Published = new(atomic.Uint64)
	}
	if config.Intake == nil {
		config.Intake = intake.New(LargestBody(size))
	}
	return &Handler{
		hub:         config.Hub,
		lineTimeout: config.LineTimeout,
		maxData:     min(size, math.MaxInt-bodyOverhead) + bodyOverhead,
		maxLine:     maxLine(size),
		maxBody:     LargestBody(size),
		intake:      config.Intake,
		requests:    config.Requests,
		published:   config.Published,
	}, nil
}

// ServeEnvelopes answers POST /publish. The body is an envelope or an array of at most MaxEvents
// envelopes as application/json, a stream of envelopes as application/x-ndjson, or CloudEvents.
func (h *Handler) ServeEnvelopes(w http.ResponseWriter, r *http.Request) {
	if web.AllowMethods(w, r, http.MethodPost) {
		receipt, err := h.publishEnvelopes(w, r)
		writeAnswer(w, r, receipt, err)
	}
}

// ServeTopic answers POST /publish/{topic}. The body is the data of one event, or a stream of data
// as application/x-ndjson with one event per line. CloudEvents are accepted as in ServeEnvelopes.
func (h *Handler) ServeTopic(w http.ResponseWriter, r *http.Request, topic string) {
	if web.AllowMethods(w, r, http.MethodPost) {
		receipt, err := h.publishTopic(w, r, topic)
		writeAnswer(w, r, receipt, err)
	}
}

func (h *Handler) publishEnvelopes(w http.ResponseWriter, r *http.Request) (hub.Receipt, error) {
	// A client that may not publish to any topic is refused before it sends the body.
	if problem := web.MayPublishAny(auth.AccessFrom(r.Context()).Grant()); problem != nil {
		return hub.Receipt{}, problem
	}
	switch mode, err := cloudEventsModeOf(w, r); {
	case err != nil:
		return hub.Receipt{}, err
	case mode != noCloudEvents:
		return h.publishCloudEvents(w, r, mode, "")
	}
	lines, err := isStream(w, r)
	if err != nil {
		return hub.Receipt{}, err
	}
	encoding, key, err := encodingAndKey(w, r)
	switch {
	case err != nil:
		return hub.Receipt{}, err
	case lines && key != "":
		return hub.Receipt{}, errKeyWithLines
	case lines:
		return h.publishStream(w, r, encoding, h.maxLine, wire.ParseEnvelope)
	}
	once, err := h.claimKey(r, key)
	if err != nil {
		return hub.Receipt{}, err
	}
	defer once.Abandon()
	held := h.openReservation(r)
	defer held.Close()
	body, err := h.readBody(w, r, encoding, h.maxBody, held)
	if err != nil {
		return hub.Receipt{}, err
	}
	events, err := wire.ParseEnvelopes(body, MaxEvents)
	if err != nil {
		return hub.Receipt{}, err
	}
	return h.publish(r, once, events...)
}

func (h *Handler) publishTopic(w http.ResponseWriter, r *http.Request, topic string) (hub.Receipt, error) {
	switch mode, err := cloudEventsModeOf(w, r); {
	case err != nil:
		return hub.Receipt{}, err
	case mode != noCloudEvents:
		return h.publishCloudEvents(w, r, mode, topic)
	}
	contentType, err := singleHeader(r, "Content-Type")
	if err != nil {
		return hub.Receipt{}, err
	}
	encoding, key, err := encodingAndKey(w, r)
	if err != nil {
		return hub.Receipt{}, err
	}
	lines, err := isLineStream(w, contentType)
	switch {
	case err != nil:
		return hub.Receipt{}, err
	case lines && key != "":
		return hub.Receipt{}, errKeyWithLines
	}
	event := &hub.Event{Topic: topic}
	if event.Type, event.Key, err = typeAndKey(r); err != nil {
		return hub.Receipt{}, err
	}
	// An invalid request is refused before its body is read.
	if err := event.Validate(h.hub.MaxEventSize()); err != nil {
		return hub.Receipt{}, err
	}
	if problem := web.MayPublish(auth.AccessFrom(r.Context()).Grant(), event.Topic); problem != nil {
		return hub.Receipt{}, problem
	}
	if lines {
		return h.publishStream(w, r, encoding, h.maxData, func(text []byte) (*hub.Event, error) { return eventOfLine(event, text) })
	}
	once, err := h.claimKey(r, key)
	if err != nil {
		return hub.Receipt{}, err
	}
	defer once.Abandon()
	held := h.openReservation(r)
	defer held.Close()
	body, err := h.readBody(w, r, encoding, int64(h.maxData), held)
	if err != nil {
		return hub.Receipt{}, err
	}
	if body, err = toUTF8Body(body, contentType, held); err != nil {
		return hub.Receipt{}, err
	}
	if event.Data, event.Encoding, err = wire.ParseBody(body, contentType); err != nil {
		return hub.Receipt{}, err
	}
	return h.publish(r, once, event)
}

// eventOfLine returns an event with the topic, type and key of template. The data of the event is the
// line in text, which must be JSON.
func eventOfLine(template *hub.Event, text []byte) (*hub.Event, error) {
	event := &hub.Event{Topic: template.Topic, Type: template.Type, Key: template.Key}
	var err error
	event.Data, event.Encoding, err = wire.ParseBody(text, typeJSON)
	return event, err
}

// publish authorizes the events and publishes either all or none. If once is not nil, it publishes them
// with the idempotency key that was claimed.
func (h *Handler) publish(r *http.Request, once *hub.KeyClaim, events ...*hub.Event) (hub.Receipt, error) {
	access := auth.AccessFrom(r.Context())
	grant := access.Grant() // the rights may have changed while the body arrived
	for _, e := range events {
		if problem := web.MayPublish(grant, e.Topic); problem != nil {
			return hub.Receipt{}, problem
		}
	}
	if problem := access.AdmitPublish(len(events)); problem != nil {
		return hub.Receipt{}, problem
	}
	// WithoutCancel, because a disconnect of the client must not cancel the publish; see the package comment.
	ctx := hub.WithPublisher(context.WithoutCancel(r.Context()), grant.Subject)
	if once == nil {
		last, err := h.hub.Publish(ctx, events...)
		if err == nil {
			h.published.Add(uint64(len(events)))
		}
		return hub.Receipt{Last: last, Count: len(events)}, err
	}
	receipt, err := once.Publish(ctx, events...)
	if err == nil && !once.Known() {
		h.published.Add(uint64(len(events)))
	}
	return receipt, err
}

// claimKey claims the idempotency key of a request. It is called before the body is read, so that a
// second request with the same key is refused in the meantime. It returns nil if the request has no key.
func (h *Handler) claimKey(r *http.Request, key string) (*hub.KeyClaim, error) {
	if key == "" {
		return nil, nil
	}
	grant := auth.AccessFrom(r.Context()).Grant()
	if grant == nil {
		return nil, problems.TokenEnded()
	}
	return h.hub.ClaimKey(grant.Subject, key)
}

// ErrShutdown is the cause with which the context Config.Requests is canceled when the hub accepts no
// more events. The handler then answers requests whose bodies are still arriving. Its answer to a stream
// contains the number of accepted events.
var ErrShutdown = errors.New("the hub no longer accepts events")

// writeAnswer answers a request with the receipt or, if err is not nil, with a problem.
func writeAnswer(w http.ResponseWriter, r *http.Request, receipt hub.Receipt, err error) {
	if err != nil {
		web.WriteProblem(w, r, problems.Of(err))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = fmt.Fprintf(w, "{\"id\":\"%s\",\"count\":%d}\n", receipt.Last, receipt.Count) // fails if the client has disconnected
}
