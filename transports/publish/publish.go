package publish

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"time"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/intake"
	"github.com/trivium-hub/trivium/transports/web"
	"github.com/trivium-hub/trivium/transports/wire"
)

// MaxEvents is the longest array of envelopes (docs/protocol.md#publishing-over-http).
const MaxEvents = 1000

const (
	// maxEscape is how many bytes JSON may spend on one byte of text, as in \u0000.
	maxEscape = 6
	// bodyRoom is what a body may have beside the data of an event: its other members, white
	// space, members that are ignored.
	bodyRoom = 64 << 10 // bytes
	// minArray bounds the body of an array where that of one envelope is not larger anyway: it
	// is held in memory whole.
	minArray = 16 << 20 // bytes
)

// Config is what a Handler works with.
type Config struct {
	Hub    *hub.Hub
	Access web.AccessFunc
	// LineTimeout is how long the client may take for a line of a stream, or 16 KiB of a longer
	// one or of another body; for all of it, see intake.TimeFor. Only the time spent waiting for it
	// counts. Between two lines there is no limit. 0: without limit.
	LineTimeout time.Duration
	// Requests is the context that all requests have, ended with ErrEnding when nothing is taken any
	// more; nil: there is none.
	Requests context.Context
	// Intake bounds what all bodies hold; nil: a Budget of its own.
	Intake *intake.Budget
}

// LargestBody returns how many bytes a body of envelopes may have, of a hub with this limit of an
// event's data.
func LargestBody(maxEventSize int) int64 {
	return max(int64(maxLine(maxEventSize)), minArray)
}

func maxLine(maxEventSize int) int {
	return min(maxEventSize, math.MaxInt/maxEscape-bodyRoom)*maxEscape + bodyRoom
}

// Handler answers the publishing routes.
type Handler struct {
	hub         *hub.Hub
	access      web.AccessFunc
	lineTimeout time.Duration
	maxData     int   // bytes of a body that is the data itself
	maxLine     int   // bytes of one envelope
	maxBody     int64 // bytes of an envelope or an array of them
	intake      *intake.Budget
	requests    context.Context
}

// New makes a Handler.
func New(config Config) *Handler {
	size := config.Hub.MaxEventSize()
	if config.Requests == nil {
		config.Requests = context.Background()
	}
	if config.Intake == nil {
		config.Intake = intake.New(LargestBody(size))
	}
	return &Handler{
		hub:         config.Hub,
		access:      config.Access,
		lineTimeout: config.LineTimeout,
		maxData:     min(size, math.MaxInt-bodyRoom) + bodyRoom,
		maxLine:     maxLine(size),
		maxBody:     LargestBody(size),
		intake:      config.Intake,
		requests:    config.Requests,
	}
}

// ServeEnvelopes answers POST /publish: an envelope or an array of at most MaxEvents of them as
// application/json, a stream of envelopes as application/x-ndjson, or CloudEvents.
func (h *Handler) ServeEnvelopes(w http.ResponseWriter, r *http.Request) {
	if web.AllowMethods(w, r, http.MethodPost) {
		receipt, err := h.envelopes(w, r)
		answer(w, r, receipt, err)
	}
}

// ServeTopic answers POST /publish/{topic}: the body is the data of one event, or as
// application/x-ndjson each line of it is; CloudEvents are taken as at ServeEnvelopes.
func (h *Handler) ServeTopic(w http.ResponseWriter, r *http.Request, topic string) {
	if web.AllowMethods(w, r, http.MethodPost) {
		receipt, err := h.body(w, r, topic)
		answer(w, r, receipt, err)
	}
}

func (h *Handler) envelopes(w http.ResponseWriter, r *http.Request) (hub.Receipt, error) {
	// What may publish nothing sends no body.
	if problem := web.MayPublishAny(h.access(r.Context()).Grant()); problem != nil {
		return hub.Receipt{}, problem
	}
	switch mode, err := cloudEventsModeOf(w, r); {
	case err != nil:
		return hub.Receipt{}, err
	case mode != noCloudEvents:
		return h.cloudEvents(w, r, mode, "")
	}
	lines, err := isStream(w, r)
	if err != nil {
		return hub.Receipt{}, err
	}
	encoding, err := encodingOf(w, r)
	if err != nil {
		return hub.Receipt{}, err
	}
	key, err := idempotencyKey(r)
	switch {
	case err != nil:
		return hub.Receipt{}, err
	case lines && key != "":
		return hub.Receipt{}, keyOfLines
	case lines:
		return h.stream(w, r, encoding, h.maxLine, wire.ParseEnvelope)
	}
	once, err := h.once(r, key)
	if err != nil {
		return hub.Receipt{}, err
	}
	defer once.Abandon()
	held := h.open(r)
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

func (h *Handler) body(w http.ResponseWriter, r *http.Request, topic string) (hub.Receipt, error) {
	switch mode, err := cloudEventsModeOf(w, r); {
	case err != nil:
		return hub.Receipt{}, err
	case mode != noCloudEvents:
		return h.cloudEvents(w, r, mode, topic)
	}
	contentType, err := single(r, "Content-Type")
	if err != nil {
		return hub.Receipt{}, err
	}
	encoding, err := encodingOf(w, r)
	if err != nil {
		return hub.Receipt{}, err
	}
	key, err := idempotencyKey(r)
	if err != nil {
		return hub.Receipt{}, err
	}
	lines, err := isLines(w, contentType)
	switch {
	case err != nil:
		return hub.Receipt{}, err
	case lines && key != "":
		return hub.Receipt{}, keyOfLines
	}
	event := &hub.Event{Topic: topic}
	if event.Type, event.Key, err = typeAndKey(r); err != nil {
		return hub.Receipt{}, err
	}
	// All that can be refused now is, before the body is asked for.
	if err := event.Validate(h.hub.MaxEventSize()); err != nil {
		return hub.Receipt{}, err
	}
	if problem := web.MayPublish(h.access(r.Context()).Grant(), event.Topic); problem != nil {
		return hub.Receipt{}, problem
	}
	if lines {
		return h.stream(w, r, encoding, h.maxData, func(text []byte) (*hub.Event, error) { return eventOfLine(event, text) })
	}
	once, err := h.once(r, key)
	if err != nil {
		return hub.Receipt{}, err
	}
	defer once.Abandon()
	held := h.open(r)
	defer held.Close()
	body, err := h.readBody(w, r, encoding, int64(h.maxData), held)
	if err != nil {
		return hub.Receipt{}, err
	}
	if body, err = decode(body, contentType, held); err != nil {
		return hub.Receipt{}, err
	}
	if event.Data, event.Encoding, err = wire.ParseBody(body, contentType); err != nil {
		return hub.Receipt{}, err
	}
	return h.publish(r, once, event)
}

// eventOfLine returns an event like the given one with a line of JSON for its data.
func eventOfLine(like *hub.Event, text []byte) (*hub.Event, error) {
	event := &hub.Event{Topic: like.Topic, Type: like.Type, Key: like.Key}
	var err error
	event.Data, event.Encoding, err = wire.ParseBody(text, typeJSON)
	return event, err
}

// publish puts all the events into the hub or none.
func (h *Handler) publish(r *http.Request, once *hub.Once, events ...*hub.Event) (hub.Receipt, error) {
	access := h.access(r.Context())
	grant := access.Grant() // of now: the body may have been long in coming
	for _, e := range events {
		if problem := web.MayPublish(grant, e.Topic); problem != nil {
			return hub.Receipt{}, problem
		}
	}
	if problem := access.AdmitPublish(len(events)); problem != nil {
		return hub.Receipt{}, problem
	}
	ctx := hub.WithPublisher(context.WithoutCancel(r.Context()), grant.Subject) // see the package's comment
	if once != nil {
		return once.Publish(ctx, events...)
	}
	last, err := h.hub.Publish(ctx, events...)
	return hub.Receipt{Last: last, Count: len(events)}, err
}

// once claims the request's idempotency key before its body is read: from now on the first is
// under way. It is nil where there is no key.
func (h *Handler) once(r *http.Request, key string) (*hub.Once, error) {
	if key == "" {
		return nil, nil
	}
	grant := h.access(r.Context()).Grant()
	if grant == nil {
		return nil, wire.TokenEnded()
	}
	return h.hub.Once(grant.Subject, key)
}

// ErrEnding is the cause with which to end the context of requests when nothing is taken any more:
// a body that is still being sent is answered then, a stream with how many of its events stand.
var ErrEnding = errors.New("publishing has ended")

// answer writes the receipt, or the problem that the error is.
func answer(w http.ResponseWriter, r *http.Request, receipt hub.Receipt, err error) {
	if err != nil {
		web.WriteProblem(w, r, wire.ProblemOf(err))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = fmt.Fprintf(w, "{\"id\":\"%s\",\"count\":%d}\n", receipt.Last, receipt.Count) // nobody is left to be told
}
