package publish

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/trivium-hub/trivium/auth"
	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/internal/intake"
	"github.com/trivium-hub/trivium/transports/internal/web"
	"github.com/trivium-hub/trivium/transports/internal/wire"
	"github.com/trivium-hub/trivium/transports/problems"
)

// cloudEventsMode is the content mode of a request with CloudEvents (HTTP Protocol Binding for
// CloudEvents, section 3).
type cloudEventsMode int

const (
	noCloudEvents  cloudEventsMode = iota
	binaryMode                     // the attributes are in headers, and the body is the data
	structuredMode                 // the body is a JSON object with the attributes and the data
	batchMode                      // the body is an array of such objects
)

// ceHeader is the prefix of the attribute headers in binary mode, in the canonical format of net/http.
const ceHeader = "Ce-"

// cloudEventsModeOf returns the content mode of a request. If the request contains CloudEvents in a format
// other than JSON, it returns a problem with status 415.
func cloudEventsModeOf(w http.ResponseWriter, r *http.Request) (cloudEventsMode, error) {
	contentType, err := singleHeader(r, "Content-Type")
	if err != nil {
		return noCloudEvents, err
	}
	mediaType, _, _ := strings.Cut(contentType, ";")
	switch mediaType = strings.ToLower(strings.TrimSpace(mediaType)); {
	case mediaType == wire.TypeCloudEvent:
		return structuredMode, nil
	case mediaType == wire.TypeCloudEventBatch:
		return batchMode, nil
	case strings.HasPrefix(mediaType, "application/cloudevents"):
		w.Header().Set("Accept", wire.TypeCloudEvent+", "+wire.TypeCloudEventBatch)
		return noCloudEvents, problems.UnsupportedMediaType(wire.TypeCloudEvent + " or " + wire.TypeCloudEventBatch)
	}
	for _, name := range []string{"Specversion", "Id", "Source", "Type"} {
		if _, present := r.Header[ceHeader+name]; present {
			return binaryMode, nil
		}
	}
	return noCloudEvents, nil
}

// routing holds the topic, type and key in a request with CloudEvents, which apply to all its events.
type routing struct {
	topic     string // topic in the path; "": none
	fallback  string // topic in ?topic=, for events without the attribute topic
	kind, key string // type and key for all events; "": each event has its own
}

// routingOf returns the routing of a request. topic is the topic in the path, or "".
func routingOf(r *http.Request, topic string) (routing, error) {
	to := routing{topic: topic}
	var err error
	if to.kind, to.key, err = typeAndKey(r); err != nil || topic != "" {
		return to, err
	}
	var query url.Values
	query, problem := web.ParseQuery(r)
	switch values := query["topic"]; {
	case problem != nil:
		return to, problem
	case len(values) > 1:
		return to, problems.BadParameter("topic", "must be given only once")
	case len(values) == 1 && values[0] != "":
		to.fallback = values[0]
		return to, hub.ValidateTopic(to.fallback)
	}
	return to, nil
}

const noTopicDetail = "missing; name it by the path /publish/{topic}, the extension attribute topic, the query ?topic=, or a subject that is a topic"

// newEvent returns the event to publish for a CloudEvent. Its data is the whole CloudEvent as JSON.
func (to routing) newEvent(c wire.CloudEvent) (*hub.Event, error) {
	topic := cmp.Or(to.topic, c.Topic, to.fallback)
	if topic == "" && hub.ValidateTopic(c.Subject) == nil {
		topic = c.Subject
	}
	if topic == "" {
		return nil, &hub.InvalidError{Parameter: "topic", Detail: noTopicDetail}
	}
	return &hub.Event{
		Topic: topic,
		Type:  cmp.Or(to.kind, c.Type),
		Key:   cmp.Or(to.key, c.PartitionKey),
		Data:  append(make([]byte, 0, len(c.JSON)), c.JSON...),
	}, nil
}

// publishCloudEvents publishes the CloudEvents in a request. topic is the topic in the path, or "".
func (h *Handler) publishCloudEvents(w http.ResponseWriter, r *http.Request, mode cloudEventsMode, topic string) (hub.Receipt, error) {
	encoding, key, err := encodingAndKey(w, r)
	if err != nil {
		return hub.Receipt{}, err
	}
	to, err := routingOf(r, topic)
	if err != nil {
		return hub.Receipt{}, err
	}
	// An invalid request is refused before its body is read.
	if err := to.check(h.hub.MaxEventSize()); err != nil {
		return hub.Receipt{}, err
	}
	grant := auth.AccessFrom(r.Context()).Grant()
	problem := web.MayPublishAny(grant)
	if problem == nil && topic != "" {
		problem = web.MayPublish(grant, topic)
	}
	if problem != nil {
		return hub.Receipt{}, problem
	}
	once, err := h.claimKey(r, key)
	if err != nil {
		return hub.Receipt{}, err
	}
	defer func() { once.Abandon() }()
	held := h.openReservation(r)
	defer held.Close()
	parsed, err := h.parseCloudEvents(w, r, mode, encoding, held)
	if err != nil {
		return hub.Receipt{}, err
	}
	events := make([]*hub.Event, len(parsed))
	for i, c := range parsed {
		if events[i], err = to.newEvent(c); err != nil {
			return hub.Receipt{}, wire.AtIndex(i, mode == batchMode, err)
		}
	}
	if once == nil {
		if once, err = h.claimCloudEventsKey(r, parsed); err != nil {
			return hub.Receipt{}, err
		}
	}
	return h.publish(r, once, events...)
}

// check validates the topic, type and key in the request, before its events are known.
func (to routing) check(maxEventSize int) error {
	e := hub.Event{Topic: cmp.Or(to.topic, "none"), Type: to.kind, Key: to.key}
	return e.Validate(maxEventSize)
}

// parseCloudEvents reads the body and returns the CloudEvents in the request.
func (h *Handler) parseCloudEvents(
	w http.ResponseWriter, r *http.Request, mode cloudEventsMode, encoding contentEncoding, held *intake.Reservation,
) ([]wire.CloudEvent, error) {
	limit := int64(h.maxData)
	if mode == batchMode {
		limit = h.maxBody
	}
	body, err := h.readBody(w, r, encoding, limit, held)
	if err != nil {
		return nil, err
	}
	contentType := r.Header.Get("Content-Type")
	if mode == binaryMode {
		attributes, err := binaryAttributes(r.Header, &contentType)
		if err != nil {
			return nil, err
		}
		if err := resizeReservation(held, cap(body)+2*len(body)); err != nil {
			return nil, err
		}
		text, err := wire.AppendBinaryCloudEvent(nil, attributes, contentType, body)
		if err != nil {
			return nil, err
		}
		event, err := wire.ParseCloudEvent(text)
		return []wire.CloudEvent{event}, nameHeader(err)
	}
	if body, err = toUTF8Body(body, contentType, held); err != nil {
		return nil, err
	}
	if mode == batchMode {
		return wire.ParseCloudEvents(body, MaxEvents)
	}
	event, err := wire.ParseCloudEvent(body)
	return []wire.CloudEvent{event}, err
}

// binaryAttributes returns the attributes of a CloudEvent in binary mode. contentType points to the
// Content-Type of the request, which is also the content type of the data. Some senders instead use the
// header ce-datacontenttype; binaryAttributes then changes *contentType to its value.
func binaryAttributes(header http.Header, contentType *string) (map[string]string, error) {
	attributes := make(map[string]string)
	for name, values := range header {
		attribute, is := strings.CutPrefix(name, ceHeader)
		if !is {
			continue
		}
		attribute = strings.ToLower(attribute)
		value := decodeHeader(values[0], attribute == "source" || attribute == "dataschema")
		switch {
		case len(values) > 1:
			return nil, problems.BadParameter(strings.ToLower(name), "must be given only once")
		case attribute == "data" || attribute == "data_base64":
			return nil, problems.BadParameter(strings.ToLower(name), "is not an attribute; send the data as the body")
		case attribute != "datacontenttype":
			attributes[attribute] = value
		case *contentType == "" || *contentType == value:
			*contentType = value
		default:
			return nil, problems.BadParameter("ce-datacontenttype", "must not differ from Content-Type")
		}
	}
	return attributes, nil
}

// decodeHeader decodes the value of an attribute header, which is a quoted string or percent-encoded
// (HTTP Protocol Binding for CloudEvents, section 3.1.3.2). Some senders, such as the CloudEvents SDK for
// Go, do not encode values. Therefore decodeHeader returns a value with an invalid escape unchanged. A
// URI may contain escapes of its own. A sender that encodes values replaces the percent sign of each such
// escape by %25. Therefore, if a URI contains an escape other than %25, it was not encoded, and decodeHeader
// does not decode it.
func decodeHeader(value string, isURI bool) string {
	if n := len(value); n >= 2 && value[0] == '"' && value[n-1] == '"' {
		var b strings.Builder
		for i := 1; i < n-1; i++ {
			if value[i] == '\\' && i+1 < n-1 {
				i++
			}
			b.WriteByte(value[i])
		}
		value = b.String()
	}
	if isURI && strings.Contains(strings.ReplaceAll(value, "%25", ""), "%") {
		return value
	}
	if decoded, err := url.PathUnescape(value); err == nil {
		return decoded
	}
	return value
}

// nameHeader returns a copy of err that names the header of an attribute instead of the attribute.
func nameHeader(err error) error {
	invalid, ok := errors.AsType[*hub.InvalidError](err)
	if !ok {
		return err
	}
	bad := *invalid
	switch bad.Parameter {
	case "body", "data", "data_base64":
	case "datacontenttype":
		bad.Parameter = "Content-Type"
	default:
		bad.Parameter = "ce-" + bad.Parameter
	}
	return &bad
}

// claimCloudEventsKey claims an idempotency key that is derived from the source and id of all events in a
// request, because a sender that repeats an event uses the same source and id. If the token has used up
// its keys, claimCloudEventsKey returns nil. The events are then published without a key, because the
// sender has not requested one.
func (h *Handler) claimCloudEventsKey(r *http.Request, events []wire.CloudEvent) (*hub.KeyClaim, error) {
	grant := auth.AccessFrom(r.Context()).Grant()
	if grant == nil {
		return nil, problems.TokenEnded()
	}
	return h.hub.ClaimKeyIfSpare(grant.Subject, identityKey(events))
}

// identityKey returns a key that depends only on the sources and ids of the events and on their order.
func identityKey(events []wire.CloudEvent) string {
	sum := sha256.New()
	for _, e := range events {
		for _, s := range []string{e.Source, e.ID} {
			var size [8]byte
			binary.BigEndian.PutUint64(size[:], uint64(len(s)))
			sum.Write(size[:])
			sum.Write([]byte(s))
		}
	}
	return "cloudevents " + hex.EncodeToString(sum.Sum(nil))
}
