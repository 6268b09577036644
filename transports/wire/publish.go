package wire

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/trivium-hub/trivium/hub"
)

// ParseEnvelope reads one publisher's envelope (docs/protocol.md#events): topic, type, key, and data,
// data_base64, or data with "text":true. Other members are ignored. The event's data is a copy
// and does not hold b in memory.
//
// It reads the form alone: limits and the rules of topic and type are for hub.Event.Validate.
// The error is an *hub.InvalidError naming the member, or "body" where b is no JSON object.
func ParseEnvelope(b []byte) (*hub.Event, error) {
	b = trimJSON(b)
	if !validJSON(b) {
		return nil, badInput("body", whyNotJSON(b))
	}
	return parseEnvelope(b)
}

// ParseEnvelopes reads one envelope or an array of 1 to maxEvents of them, all or none. The
// error is as ParseEnvelope's; of an element of an array, its detail names the index, from 0.
func ParseEnvelopes(b []byte, maxEvents int) ([]*hub.Event, error) {
	b = trimJSON(b)
	if !validJSON(b) {
		return nil, badInput("body", whyNotJSON(b))
	}
	if b[0] != '[' {
		e, err := parseEnvelope(b)
		if err != nil {
			return nil, err
		}
		return []*hub.Event{e}, nil
	}
	var events []*hub.Event
	err := elements(b, func(value []byte) error {
		if len(events) == maxEvents {
			return badInput("body", fmt.Sprintf("at most %d envelopes are allowed in an array", maxEvents))
		}
		e, err := parseEnvelope(value)
		if err != nil {
			return atIndex(len(events), err)
		}
		events = append(events, e)
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case len(events) == 0:
		return nil, badInput("body", "must be an envelope or an array of at least one")
	}
	return events, nil
}

// AtIndex returns an error of an element of an array with its index, if it is one.
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

// envelope holds the raw values of the members that a publisher's envelope may have; nil is
// absent.
type envelope struct {
	topic, kind, key, data, base64, text []byte

	twice  string // a member that stands twice
	topics bool   // one of them, the only one in an envelope that is not refused, is a string
}

func (v *envelope) read(obj []byte) {
	_ = members(obj, func(name string, value []byte) error {
		slot := v.member(name)
		if slot == nil {
			return nil
		}
		if *slot != nil {
			v.twice = name
		}
		*slot = value
		v.topics = v.topics || slot == &v.topic && isString(value)
		return nil
	})
}

func (v *envelope) member(name string) *[]byte {
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

// parseEnvelope reads a valid JSON text.
func parseEnvelope(text []byte) (*hub.Event, error) {
	if text[0] != '{' {
		return nil, badInput("body", "an envelope is a JSON object")
	}
	var v envelope
	v.read(text)
	return v.event()
}

// event makes the event out of what was read.
func (v *envelope) event() (*hub.Event, error) {
	switch {
	case v.twice != "":
		return nil, badInput(v.twice, "must stand only once")
	case v.topic == nil:
		return nil, badInput("topic", "is missing; an envelope has a topic")
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
		return nil, 0, badInput("data", "is missing; an envelope has data or data_base64")
	case v.data != nil && v.base64 != nil:
		return nil, 0, badInput("data_base64", "must not stand beside data")
	case v.text != nil && !text && string(v.text) != "false":
		return nil, 0, badInput("text", "must be true or false")
	case text && v.base64 != nil:
		return nil, 0, badInput("text", "must not be true beside data_base64")
	case v.base64 != nil:
		data, err := decodeBase64(v.base64)
		return data, hub.Binary, err
	case text:
		if !isString(v.data) {
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
	if err != nil || strings.ContainsAny(s, "\r\n") { // which the decoder passes over
		return nil, badInput("data_base64", "must be standard base64 with padding (RFC 4648 section 4)")
	}
	return data, nil
}

// ParseBody reads the body of a publish whose topic is in the URL (docs/protocol.md#publishing-over-http): the media
// type says what the data is; without one (""), or with that of a form, which curl and others send
// with anything, the bytes do. Text is expected in UTF-8, whatever a charset says. The data is a copy;
// of JSON the white space around it is left out. The error is an *hub.InvalidError for "body" or "Content-Type".
func ParseBody(b []byte, contentType string) (data []byte, enc hub.Encoding, err error) {
	mediaType := mediaTypeOf(contentType)
	if contentType != "" && mediaType == "" {
		return nil, 0, badInput("Content-Type", "must be a media type, as in text/plain (RFC 9110 section 8.3.1)")
	}
	trimmed := trimJSON(b)
	switch {
	case mediaType == "" || mediaType == "application/x-www-form-urlencoded":
		if enc = sniff(b, trimmed); enc == hub.Text && deeper(trimmed, jsonDepth) {
			return nil, 0, badInput("body", tooDeep)
		}
	case IsJSONType(mediaType):
		if !validJSON(trimmed) {
			return nil, 0, badInput("body", whyNotJSON(trimmed))
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
	// A copy even where nothing is trimmed: a body that was read has room to spare.
	return append(make([]byte, 0, len(b)), b...), enc, nil
}

// IsJSONType reports whether a media type, in lower case and without parameters, is JSON (RFC 6839
// section 3.1).
func IsJSONType(mediaType string) bool {
	return mediaType == "application/json" ||
		strings.HasPrefix(mediaType, "application/") && strings.HasSuffix(mediaType, "+json")
}

// IsTextual reports whether the data of a body of this Content-Type is text or JSON, for which a
// charset counts.
func IsTextual(contentType string) bool {
	mediaType := mediaTypeOf(contentType)
	return strings.HasPrefix(mediaType, "text/") || IsJSONType(mediaType)
}

// mediaTypeOf gives the type in lower case and without its parameters, which do not make it unclear
// even where they are wrong; "" if it is none. Package mime does more, and would take more room in a
// page than all the rest that is here.
func mediaTypeOf(contentType string) string {
	const signs = "!#$%&'*+-.^_`|~" // RFC 9110 section 5.6.2
	mediaType, _, _ := strings.Cut(contentType, ";")
	mediaType = strings.ToLower(strings.Trim(mediaType, " \t"))
	tokens := strings.Split(mediaType, "/")
	for _, token := range tokens {
		strange := strings.Trim(token, "abcdefghijklmnopqrstuvwxyz0123456789"+signs)
		if token == "" || strange != "" || len(tokens) > 2 {
			return ""
		}
	}
	return mediaType
}

func sniff(b, trimmed []byte) hub.Encoding {
	switch {
	case validJSON(trimmed):
		return hub.JSON
	case utf8.Valid(b):
		return hub.Text
	}
	return hub.Binary
}
