package wire

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/hub/jsonscan"
)

// ParseEnvelope parses a publisher's envelope (docs/protocol.md#events): topic, type, key, and
// data, data_base64, or data with "text":true. Other members are ignored. The event does not share
// b's memory.
//
// Only the format is checked; hub.Event.Validate checks limits and the rules for topic and type.
// The error is a *hub.InvalidError that names the member, or "body" if b is not a JSON object.
func ParseEnvelope(b []byte) (*hub.Event, error) {
	b = jsonscan.Trim(b)
	if !jsonscan.Valid(b) {
		return nil, jsonscan.BadInput("body", jsonscan.ErrorDetail(b))
	}
	return parseEnvelope(b)
}

// ParseEnvelopes parses one envelope or an array of 1 to maxEvents envelopes. It returns all events
// or an error. The error is like that of ParseEnvelope; in an array, its detail contains the index.
func ParseEnvelopes(b []byte, maxEvents int) ([]*hub.Event, error) {
	b = jsonscan.Trim(b)
	if !jsonscan.Valid(b) {
		return nil, jsonscan.BadInput("body", jsonscan.ErrorDetail(b))
	}
	if b[0] != '[' {
		e, err := parseEnvelope(b)
		if err != nil {
			return nil, err
		}
		return []*hub.Event{e}, nil
	}
	return parseArray(b, maxEvents, parseEnvelope, "at most %d envelopes are allowed in an array",
		"must be an envelope or an array of at least one")
}

// parseArray parses the elements of a valid JSON array, which must have 1 to limit elements.
// tooMany and empty are the details of the errors for other numbers of elements.
func parseArray[E any](array []byte, limit int, parse func([]byte) (E, error), tooMany, empty string) ([]E, error) {
	var events []E
	err := jsonscan.Elements(array, func(value []byte) error {
		if len(events) == limit {
			return jsonscan.BadInput("body", fmt.Sprintf(tooMany, limit))
		}
		e, err := parse(value)
		events = append(events, e)
		return atIndex(len(events)-1, err)
	})
	if err == nil && len(events) == 0 {
		err = jsonscan.BadInput("body", empty)
	}
	if err != nil {
		return nil, err
	}
	return events, nil
}

// AtIndex adds the index of an array's element to the error of that element. If isArray is false,
// it returns err unchanged.
func AtIndex(index int, isArray bool, err error) error {
	if !isArray {
		return err
	}
	return atIndex(index, err)
}

func atIndex(index int, err error) error {
	var invalid *hub.InvalidError
	if errors.As(err, &invalid) {
		return jsonscan.BadInput(invalid.Parameter, fmt.Sprintf("event %d of the array (index %d): %s", index+1, index, invalid.Detail))
	}
	return err
}

// envelope holds the raw values of the members of a publisher's envelope; nil if absent.
type envelope struct {
	topic, kind, key, data, base64, text []byte

	duplicate string // a member that occurs twice
	hasTopic  bool   // topic is present and a string
}

func (v *envelope) read(obj []byte) {
	_ = jsonscan.Members(obj, func(name string, value []byte) error {
		slot := v.slot(name)
		if slot == nil {
			return nil
		}
		if *slot != nil {
			v.duplicate = name
		}
		*slot = value
		v.hasTopic = v.hasTopic || slot == &v.topic && jsonscan.IsString(value)
		return nil
	})
}

func (v *envelope) slot(name string) *[]byte {
	switch name {
	case "topic":
		return &v.topic
	case "type":
		return &v.kind
	case "key":
		return &v.key
	case "data":
		return &v.data
	case "data_base64":
		return &v.base64
	case "text":
		return &v.text
	}
	return nil
}

// parseEnvelope parses an envelope from valid JSON.
func parseEnvelope(text []byte) (*hub.Event, error) {
	if text[0] != '{' {
		return nil, jsonscan.BadInput("body", "an envelope must be a JSON object")
	}
	var v envelope
	v.read(text)
	return v.event()
}

// event returns the event of the envelope.
func (v *envelope) event() (*hub.Event, error) {
	switch {
	case v.duplicate != "":
		return nil, jsonscan.BadInput(v.duplicate, "must be given only once")
	case v.topic == nil:
		return nil, jsonscan.BadInput("topic", "missing; every envelope needs a topic")
	}
	e := new(hub.Event)
	for _, m := range []struct {
		name  string
		value []byte
		to    *string
	}{{"topic", v.topic, &e.Topic}, {"type", v.kind, &e.Type}, {"key", v.key, &e.Key}} {
		if m.value == nil {
			continue
		}
		var err error
		if *m.to, err = jsonscan.RequireString(m.name, m.value); err != nil {
			return nil, err
		}
	}
	var err error
	e.Data, e.Encoding, err = v.payload()
	if err != nil {
		return nil, err
	}
	return e, nil
}

func (v *envelope) payload() ([]byte, hub.Encoding, error) {
	text := string(v.text) == "true"
	switch {
	case v.data == nil && v.base64 == nil:
		return nil, 0, jsonscan.BadInput("data", "missing; an envelope needs data or data_base64")
	case v.data != nil && v.base64 != nil:
		return nil, 0, jsonscan.BadInput("data_base64", "must not be given beside data")
	case v.text != nil && !text && string(v.text) != "false":
		return nil, 0, jsonscan.BadInput("text", "must be true or false")
	case text && v.base64 != nil:
		return nil, 0, jsonscan.BadInput("text", "must not be true beside data_base64")
	case v.base64 != nil:
		data, err := decodeBase64(v.base64)
		return data, hub.Binary, err
	case text:
		if !jsonscan.IsString(v.data) {
			return nil, 0, jsonscan.BadInput("data", `must be a string where "text" is true`)
		}
		s, err := jsonscan.RequireString("data", v.data)
		return []byte(s), hub.Text, err
	}
	return bytes.Clone(v.data), hub.JSON, jsonscan.CheckNesting("data", v.data)
}

func decodeBase64(value []byte) ([]byte, error) {
	s, err := jsonscan.RequireString("data_base64", value)
	if err != nil {
		return nil, err
	}
	data, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || strings.ContainsAny(s, "\r\n") { // the decoder would ignore line breaks
		return nil, jsonscan.BadInput("data_base64", "must be standard base64 with padding (RFC 4648 section 4)")
	}
	return data, nil
}

// ParseBody parses the body of a publish whose topic is in the URL
// (docs/protocol.md#publishing-over-http). The media type determines the encoding of the data. If
// there is no media type (""), or if it is that of HTML forms, which curl and other programs send
// by default, the encoding is detected from the bytes. Text must be UTF-8, regardless of a charset
// parameter. The data is a copy; JSON loses its surrounding white space. The error is a
// *hub.InvalidError for "body" or "Content-Type".
func ParseBody(b []byte, contentType string) (data []byte, enc hub.Encoding, err error) {
	mediaType := mediaTypeOf(contentType)
	if contentType != "" && mediaType == "" {
		return nil, 0, jsonscan.BadInput("Content-Type", "must be a media type such as text/plain (RFC 9110 section 8.3.1)")
	}
	trimmed := jsonscan.Trim(b)
	switch {
	case mediaType == "" || mediaType == "application/x-www-form-urlencoded":
		if enc = sniff(b, trimmed); enc == hub.Text && jsonscan.NestedDeeper(trimmed, jsonscan.MaxDepth) {
			return nil, 0, jsonscan.BadInput("body", jsonscan.TooDeepDetail)
		}
	case IsJSONType(mediaType):
		if !jsonscan.Valid(trimmed) {
			return nil, 0, jsonscan.BadInput("body", jsonscan.ErrorDetail(trimmed))
		}
		enc = hub.JSON
	case strings.HasPrefix(mediaType, "text/"):
		if !utf8.Valid(b) {
			return nil, 0, jsonscan.BadInput("body", "must be valid UTF-8, since its Content-Type is "+mediaType)
		}
		enc = hub.Text
	default:
		enc = hub.Binary
	}
	if enc == hub.JSON {
		b, err = trimmed, jsonscan.CheckNesting("body", trimmed)
		if err != nil {
			return nil, 0, err
		}
	}
	// The bytes are copied even if nothing was trimmed, because the buffer of the body may be much
	// larger than its content.
	return append(make([]byte, 0, len(b)), b...), enc, nil
}

// IsJSONType reports whether a media type, in lower case and without parameters, is JSON (RFC 6839
// section 3.1).
func IsJSONType(mediaType string) bool {
	return mediaType == "application/json" ||
		strings.HasPrefix(mediaType, "application/") && strings.HasSuffix(mediaType, "+json")
}

// IsTextual reports whether a body of this Content-Type is text or JSON, so that its charset
// matters.
func IsTextual(contentType string) bool {
	mediaType := mediaTypeOf(contentType)
	return strings.HasPrefix(mediaType, "text/") || IsJSONType(mediaType)
}

// mediaTypeOf returns the media type in lower case without its parameters, even if those are
// invalid; "" if there is no valid media type. Package mime would take more space in the
// WebAssembly binary than the rest of this package.
func mediaTypeOf(contentType string) string {
	const signs = "!#$%&'*+-.^_`|~" // RFC 9110 section 5.6.2
	mediaType, _, _ := strings.Cut(contentType, ";")
	mediaType = strings.ToLower(strings.Trim(mediaType, " \t"))
	tokens := strings.Split(mediaType, "/")
	for _, token := range tokens {
		invalid := strings.Trim(token, "abcdefghijklmnopqrstuvwxyz0123456789"+signs)
		if token == "" || invalid != "" || len(tokens) > 2 {
			return ""
		}
	}
	return mediaType
}

func sniff(b, trimmed []byte) hub.Encoding {
	switch {
	case jsonscan.Valid(trimmed):
		return hub.JSON
	case utf8.Valid(b):
		return hub.Text
	}
	return hub.Binary
}
