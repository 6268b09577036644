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

// ParseEnvelope parses a publisher's envelope (docs/protocol.md#events), with the members topic, type,
// key, data, data_base64 and text. It ignores other members. The event does not share memory with b.
//
// ParseEnvelope checks only the format; hub.Event.Validate checks limits and the rules for topic and
// type. The error is a *hub.InvalidError that names the invalid member, or "body" if b is not a JSON
// object.
func ParseEnvelope(b []byte) (*hub.Event, error) {
	b = jsonscan.Trim(b)
	if !jsonscan.Valid(b) {
		return nil, badInput("body", jsonFault(b))
	}
	return parseEnvelope(b)
}

// ParseEnvelopes parses one envelope or an array of 1 to maxEvents envelopes. It returns all events or
// an error. The error is like that of ParseEnvelope; for an array, its detail contains the index of the
// invalid envelope.
func ParseEnvelopes(b []byte, maxEvents int) ([]*hub.Event, error) {
	b = jsonscan.Trim(b)
	if !jsonscan.Valid(b) {
		return nil, badInput("body", jsonFault(b))
	}
	if b[0] != '[' {
		e, err := parseEnvelope(b)
		if err != nil {
			return nil, err
		}
		return []*hub.Event{e}, nil
	}
	return parseArray(b, maxEvents, parseEnvelope, "at most %d envelopes are allowed in an array",
		"must be an envelope or an array of at least one envelope")
}

// parseArray parses each element of an array with the function parse. The array must be valid JSON. The
// parameter tooMany is the detail of the error for an array with too many elements, and contains a %d for
// the limit. The parameter empty is the detail of the error for an empty array.
func parseArray[E any](array []byte, limit int, parse func([]byte) (E, error), tooMany, empty string) ([]E, error) {
	var events []E
	err := jsonscan.Elements(array, func(value []byte) error {
		if len(events) == limit {
			return badInput("body", fmt.Sprintf(tooMany, limit))
		}
		e, err := parse(value)
		events = append(events, e)
		return atIndex(len(events)-1, err)
	})
	if err == nil && len(events) == 0 {
		err = badInput("body", empty)
	}
	if err != nil {
		return nil, err
	}
	return events, nil
}

// AtIndex adds the index of an event in an array to the error for that event. If isArray is false, it
// returns err unchanged.
func AtIndex(index int, isArray bool, err error) error {
	if !isArray {
		return err
	}
	return atIndex(index, err)
}

func atIndex(index int, err error) error {
	var invalid *hub.InvalidError
	if errors.As(err, &invalid) {
		return badInput(invalid.Parameter, fmt.Sprintf("event %d of the array (index %d): %s", index+1, index, invalid.Detail))
	}
	return err
}

// envelope holds the raw values of the members of a publisher's envelope; nil if absent.
type envelope struct {
	topic, kind, key, data, base64, text []byte

	duplicate string // name of a member that occurs twice; "": none
	hasTopic  bool   // whether topic is present and a string
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

// parseEnvelope parses an envelope. text must be valid JSON.
func parseEnvelope(text []byte) (*hub.Event, error) {
	if text[0] != '{' {
		return nil, badInput("body", "an envelope must be a JSON object")
	}
	var v envelope
	v.read(text)
	return v.event()
}

// event returns the event that the envelope describes.
func (v *envelope) event() (*hub.Event, error) {
	switch {
	case v.duplicate != "":
		return nil, badInput(v.duplicate, "must be given only once")
	case v.topic == nil:
		return nil, badInput("topic", "missing; every envelope needs a topic")
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
		if *m.to, err = requireString(m.name, m.value); err != nil {
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
		return nil, 0, badInput("data", "missing; an envelope needs data or data_base64")
	case v.data != nil && v.base64 != nil:
		return nil, 0, badInput("data_base64", "must not be given together with data")
	case v.text != nil && !text && string(v.text) != "false":
		return nil, 0, badInput("text", "must be true or false")
	case text && v.base64 != nil:
		return nil, 0, badInput("text", "must not be true together with data_base64")
	case v.base64 != nil:
		data, err := decodeBase64(v.base64)
		return data, hub.Binary, err
	case text:
		if !jsonscan.IsString(v.data) {
			return nil, 0, badInput("data", `must be a string where "text" is true`)
		}
		s, err := requireString("data", v.data)
		return []byte(s), hub.Text, err
	}
	return bytes.Clone(v.data), hub.JSON, checkNesting("data", v.data)
}

func decodeBase64(value []byte) ([]byte, error) {
	s, err := requireString("data_base64", value)
	if err != nil {
		return nil, err
	}
	data, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || strings.ContainsAny(s, "\r\n") { // the decoder ignores line breaks
		return nil, badInput("data_base64", "must be standard base64 with padding (RFC 4648 section 4)")
	}
	return data, nil
}

// ParseBody parses the body of a publish request whose topic is in the URL
// (docs/protocol.md#publishing-over-http). The media type in contentType determines the encoding of the
// data. If contentType is empty, or is the media type of HTML forms, which curl and other programs send
// by default, ParseBody detects the encoding from the bytes. Text must be UTF-8; a charset parameter is
// ignored. The data is a copy of b. White space around JSON is removed. The error is a
// *hub.InvalidError for "body" or "Content-Type".
func ParseBody(b []byte, contentType string) (data []byte, enc hub.Encoding, err error) {
	mediaType := mediaTypeOf(contentType)
	if contentType != "" && mediaType == "" {
		return nil, 0, badInput("Content-Type", "must be a media type such as text/plain (RFC 9110 section 8.3.1)")
	}
	trimmed := jsonscan.Trim(b)
	switch {
	case mediaType == "" || mediaType == "application/x-www-form-urlencoded":
		if enc = sniff(b, trimmed); enc == hub.Text && nestedDeeper(trimmed, maxDepth) {
			return nil, 0, badInput("body", tooDeepDetail)
		}
	case IsJSONType(mediaType):
		if !jsonscan.Valid(trimmed) {
			return nil, 0, badInput("body", jsonFault(trimmed))
		}
		enc = hub.JSON
	case strings.HasPrefix(mediaType, "text/"):
		if !utf8.Valid(b) {
			return nil, 0, badInput("body", "must be valid UTF-8, since its Content-Type is "+mediaType)
		}
		enc = hub.Text
	default:
		enc = hub.Binary
	}
	if enc == hub.JSON {
		b, err = trimmed, checkNesting("body", trimmed)
		if err != nil {
			return nil, 0, err
		}
	}
	// The bytes are copied in any case, because the capacity of b may be much larger than its length.
	return append(make([]byte, 0, len(b)), b...), enc, nil
}

// IsJSONType reports whether data of a media type is JSON (RFC 6839 section 3.1). The media type must be
// in lower case and without parameters.
func IsJSONType(mediaType string) bool {
	return mediaType == "application/json" ||
		strings.HasPrefix(mediaType, "application/") && strings.HasSuffix(mediaType, "+json")
}

// IsTextual reports whether a body with the given Content-Type is text or JSON, so that its charset
// matters.
func IsTextual(contentType string) bool {
	mediaType := mediaTypeOf(contentType)
	return strings.HasPrefix(mediaType, "text/") || IsJSONType(mediaType)
}

// mediaTypeOf returns the media type in a Content-Type, in lower case and without parameters. Invalid
// parameters are ignored. If the media type itself is invalid, mediaTypeOf returns "". Package mime is
// not used, because it would take more space in the WebAssembly binary than the rest of this package.
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

// sniff detects the encoding of a body. trimmed is b without surrounding white space.
func sniff(b, trimmed []byte) hub.Encoding {
	switch {
	case jsonscan.Valid(trimmed):
		return hub.JSON
	case utf8.Valid(b):
		return hub.Text
	}
	return hub.Binary
}
