package wire

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/hub/jsonscan"
)

// Form identifies an encoding of events.
type Form uint8

// Encodings of events, and the functions that create them.
const (
	FormSSE               Form = iota // EncodeSSE
	FormSSEEnvelope                   // EncodeSSEEnvelope
	FormFrame                         // EncodeFrame
	FormDeflate                       // EncodeDeflate
	FormSSECloudEvent                 // CloudEvents.EncodeSSE
	FormFrameCloudEvent               // CloudEvents.EncodeFrame
	FormDeflateCloudEvent             // CloudEvents.EncodeDeflate
)

// envelopeOverhead is an upper bound for the size of an envelope without its data: the member names and
// the longest topic, type and key.
const envelopeOverhead = 1 << 10 // bytes

// AppendEnvelope appends the event's envelope (docs/protocol.md#events), with the members in the
// documented order and JSON data unchanged. It omits absent members. An event that no hub has accepted
// yet has no ID and no time.
func AppendEnvelope(dst []byte, e *hub.Event) []byte {
	dst = append(dst, '{')
	if e.ID != (hub.Cursor{}) {
		dst = append(dst, `"id":"`...)
		dst = e.ID.AppendText(dst)
		dst = append(dst, `",`...)
	}
	dst = append(dst, `"topic":`...)
	dst = jsonscan.AppendString(dst, e.Topic)
	if e.Type != "" {
		dst = append(dst, `,"type":`...)
		dst = jsonscan.AppendString(dst, e.Type)
	}
	if e.Key != "" {
		dst = append(dst, `,"key":`...)
		dst = jsonscan.AppendString(dst, e.Key)
	}
	if !e.Time.IsZero() {
		dst = append(dst, `,"time":"`...)
		dst = e.Time.UTC().AppendFormat(dst, time.RFC3339Nano)
		dst = append(dst, '"')
	}
	switch e.Encoding {
	case hub.Text:
		dst = append(dst, `,"text":true,"data":`...)
		dst = jsonscan.AppendString(dst, e.Data)
	case hub.Binary:
		dst = append(dst, `,"data_base64":"`...)
		dst = base64.StdEncoding.AppendEncode(dst, e.Data)
		dst = append(dst, '"')
	default:
		dst = append(dst, `,"data":`...)
		dst = append(dst, jsonData(e)...)
	}
	return append(dst, '}')
}

// jsonData returns the data of a JSON event, or null if the event has no data. An embedding program may
// publish an event without data, and the envelope must still be valid JSON.
func jsonData(e *hub.Event) []byte {
	if len(e.Data) == 0 {
		return []byte("null")
	}
	return e.Data
}

// scratch is a pooled buffer in which an encoding is built while its length is still unknown. The
// result is then copied into a single allocation of the right size.
type scratch struct{ b []byte }

// maxScratch is the maximum size of a buffer that is returned to the pool.
const maxScratch = 64 << 10 // bytes

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// newScratch returns an empty buffer with room for n bytes.
func newScratch(n int) *scratch {
	s := scratches.Get().(*scratch)
	s.b = slices.Grow(s.b[:0], n)
	return s
}

func (s *scratch) free() {
	if cap(s.b) <= maxScratch {
		scratches.Put(s)
	}
}

// DecodeEnvelope decodes an envelope that the hub has sent. Members may be in any order, and unknown
// members are ignored. The topic and either data or data_base64 are required. The event may share
// memory with b. The error names the invalid member and describes the expected value.
func DecodeEnvelope(b []byte) (*hub.Event, error) {
	obj, err := jsonscan.Object(b)
	if err != nil {
		return nil, fmt.Errorf("envelope: %w", err)
	}
	return decodeEnvelope(obj)
}

// decodeEnvelope decodes an envelope. obj must be a JSON object that jsonscan.Object has returned.
func decodeEnvelope(obj []byte) (*hub.Event, error) {
	e := new(hub.Event)
	var data []byte
	var text, binary bool
	err := jsonscan.Members(obj, func(name string, value []byte) (err error) {
		switch name {
		case "id":
			e.ID, err = cursorMember(name, value)
		case "topic":
			e.Topic, err = requireString(name, value)
		case "type":
			e.Type, err = requireString(name, value)
		case "key":
			e.Key, err = requireString(name, value)
		case "time":
			e.Time, err = timeMember(name, value)
		case "text":
			text, err = boolMember(name, value)
		case "data":
			data = value
		case "data_base64":
			binary = true
			e.Data, err = base64Member(name, value)
		}
		return err
	})
	switch {
	case err != nil:
	case e.Topic == "":
		err = errors.New("topic: missing")
	case (data != nil) == binary:
		err = errors.New("data: exactly one of data and data_base64 is required")
	case binary:
		e.Encoding = hub.Binary
	case text:
		var s string
		s, err = requireString("data", data)
		e.Data, e.Encoding = []byte(s), hub.Text
	default:
		e.Data = data
	}
	if err != nil {
		return nil, fmt.Errorf("envelope: %w", err)
	}
	return e, nil
}

func cursorMember(name string, value []byte) (hub.Cursor, error) {
	s, err := requireString(name, value)
	if err != nil {
		return hub.Cursor{}, err
	}
	c, err := hub.ParseCursor(s)
	if err != nil {
		return hub.Cursor{}, fmt.Errorf("%s: %w", name, err)
	}
	return c, nil
}

func timeMember(name string, value []byte) (time.Time, error) {
	s, err := requireString(name, value)
	if err != nil {
		return time.Time{}, err
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}, fmt.Errorf("%s: must be an RFC 3339 time", name)
	}
	return t.UTC(), nil
}

func base64Member(name string, value []byte) ([]byte, error) {
	s, err := requireString(name, value)
	if err != nil {
		return nil, err
	}
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return nil, fmt.Errorf("%s: must be standard base64 with padding", name)
	}
	return b, nil
}

func boolMember(name string, value []byte) (bool, error) {
	switch string(value) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, fmt.Errorf("%s: must be true or false", name)
}
