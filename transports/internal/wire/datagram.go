package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/hub/jsonscan"
)

// DatagramMode determines how datagrams are parsed (docs/protocol.md#publishing-over-udp).
type DatagramMode uint8

// Modes. With DatagramAuto and DatagramJSON, a datagram contains one JSON text, or one per line.
const (
	DatagramAuto   DatagramMode = iota // an envelope is an event; anything else is the data of an event
	DatagramJSON                       // each JSON text is the data of an event, even if it is an envelope
	DatagramRaw                        // the whole datagram is the data of one event
	DatagramSyslog                     // one syslog message, which the UDP source has converted to JSON
)

// DatagramModes are the names that ParseDatagramMode accepts.
var DatagramModes = []string{"auto", "json", "raw", "syslog"}

// ParseDatagramMode parses one of the DatagramModes.
func ParseDatagramMode(s string) (DatagramMode, error) {
	switch s {
	case "auto":
		return DatagramAuto, nil
	case "json":
		return DatagramJSON, nil
	case "raw":
		return DatagramRaw, nil
	case "syslog":
		return DatagramSyslog, nil
	}
	return 0, fmt.Errorf("a datagram format must be auto, json, raw or syslog, got %q", s)
}

// DatagramFormat determines which events a datagram contains.
type DatagramFormat struct {
	Mode  DatagramMode
	Topic string // default topic, for events without a topic in the datagram
	// TopicField and TypeField name the members of a JSON object that contain the topic and the type of
	// its event; "": no such member. Dots separate the names of nested members. If the member for the
	// topic is missing or not a string, the topic is Topic. If the member for the type is missing or not
	// a string, the event has no type. The fields have no effect on envelopes or with DatagramRaw.
	TopicField, TypeField string
}

// Validate returns an error if Topic is not a valid topic, or if TopicField or TypeField contains an
// empty name between dots. The error is a *hub.InvalidError.
func (f *DatagramFormat) Validate() error {
	if err := hub.ValidateTopic(f.Topic); err != nil {
		return err
	}
	if hasEmptyName(f.TopicField) {
		return badInput("topic-field", "must be member names separated by single dots, such as device.id")
	}
	if hasEmptyName(f.TypeField) {
		return badInput("type-field", "must be member names separated by single dots, such as device.id")
	}
	return nil
}

func hasEmptyName(path string) bool {
	return path != "" && slices.Contains(strings.Split(path, "."), "")
}

// Reasons for refusing an event of a datagram, as counted in metrics.
const (
	RefusedMalformed = "malformed"
	RefusedTooLarge  = "too_large"
	RefusedTopic     = "topic"
	RefusedType      = "type" // an invalid type or key
)

// RefusalReason returns the reason under which metrics count an error. err is from parsing or from
// hub.Event.Validate.
func RefusalReason(err error) string {
	var invalid *hub.InvalidError
	switch {
	case !errors.As(err, &invalid):
		return RefusedMalformed
	case invalid.TooLarge:
		return RefusedTooLarge
	case invalid.Parameter == "topic":
		return RefusedTopic
	case invalid.Parameter == "type" || invalid.Parameter == "key":
		return RefusedType
	}
	return RefusedMalformed
}

// Parse appends the events of a datagram to dst. For each invalid JSON text or line, it calls refuse with
// the reason, and continues with the next line. The events do not share memory with the datagram. The
// caller must validate them, see hub.Event.Validate.
func (f *DatagramFormat) Parse(dst []*hub.Event, datagram []byte, refuse func(reason string)) []*hub.Event {
	if f.Mode == DatagramRaw {
		return append(dst, f.raw(datagram))
	}
	add := func(text []byte) {
		e, err := f.parse(text)
		if err != nil {
			refuse(RefusalReason(err))
			return
		}
		dst = append(dst, e)
	}
	text := jsonscan.Trim(bytes.TrimRight(bytes.TrimPrefix(datagram, byteOrderMark), "\x00"))
	switch {
	case len(text) == 0, isCutOff(text):
		refuse(RefusedMalformed)
	case jsonscan.Valid(text):
		add(text)
	default:
		for line := range bytes.SplitSeq(text, []byte{'\n'}) {
			line = jsonscan.Trim(line)
			switch {
			case len(line) == 0:
			case jsonscan.Valid(line):
				add(line)
			case f.Mode == DatagramAuto && line[0] != '{' && line[0] != '[' && utf8.Valid(line):
				dst = append(dst, &hub.Event{Topic: f.Topic, Data: bytes.Clone(line), Encoding: hub.Text})
			default:
				refuse(RefusedMalformed)
			}
		}
	}
	return dst
}

// byteOrderMark is the byte order mark that some systems write before UTF-8 text.
var byteOrderMark = []byte("\ufeff")

// isCutOff reports whether text is an array or object whose end is missing. Parse must not treat its
// lines as events: a line of an incomplete array may be valid JSON, for example a number.
func isCutOff(text []byte) bool {
	if text[0] != '{' && text[0] != '[' {
		return false
	}
	err := json.Compact(new(bytes.Buffer), text) // Compact instead of Unmarshal, see jsonFault
	return err != nil && err.Error() == "unexpected end of JSON input"
}

func (f *DatagramFormat) raw(datagram []byte) *hub.Event {
	e := &hub.Event{Topic: f.Topic, Data: bytes.Clone(datagram), Encoding: hub.Binary}
	if utf8.Valid(datagram) {
		e.Encoding = hub.Text
	}
	return e
}

// parse parses one valid JSON text.
func (f *DatagramFormat) parse(text []byte) (*hub.Event, error) {
	topic, kind := f.Topic, ""
	if text[0] == '{' {
		if f.Mode == DatagramAuto {
			var v envelope
			if v.read(text); v.hasTopic && (v.data != nil || v.base64 != nil) {
				if e := cloudEventWithTopic(text); e != nil {
					return e, nil
				}
				return v.event()
			}
		}
		var err error
		if topic, err = fieldOr(text, f.TopicField, "topic", topic); err != nil {
			return nil, err
		}
		if kind, err = fieldOr(text, f.TypeField, "type", kind); err != nil {
			return nil, err
		}
	}
	return &hub.Event{Topic: topic, Type: kind, Data: bytes.Clone(text), Encoding: hub.JSON}, checkNesting("data", text)
}

// cloudEventWithTopic returns an event whose data is the CloudEvent in text. It returns nil if text is
// not a CloudEvent. The caller has checked that text has a topic and data, as an envelope does. If a
// CloudEvent were parsed as an envelope, its other attributes would be lost.
func cloudEventWithTopic(text []byte) *hub.Event {
	if !looksLikeCloudEvent(text) {
		return nil
	}
	c, err := ParseCloudEvent(text)
	if err != nil {
		return nil
	}
	return &hub.Event{Topic: c.Topic, Type: c.Type, Key: c.PartitionKey, Data: bytes.Clone(c.JSON)}
}

// fieldOr returns the string at a dotted path in obj, or fallback if there is no string at the path. If
// the string is invalid, the error names the given parameter.
func fieldOr(obj []byte, path, parameter, fallback string) (string, error) {
	if path == "" {
		return fallback, nil
	}
	value := lookup(obj, path)
	if !jsonscan.IsString(value) {
		return fallback, nil
	}
	return requireString(parameter, value)
}

// lookup returns the raw value at a dotted path in obj, or nil. If a name occurs twice, lookup uses the
// last value, as nearly every JSON parser does.
func lookup(obj []byte, path string) []byte {
	for {
		name, rest, more := strings.Cut(path, ".")
		var found []byte
		_ = jsonscan.Members(obj, func(n string, value []byte) error {
			if n == name {
				found = value
			}
			return nil
		})
		if !more {
			return found
		}
		if len(found) == 0 || found[0] != '{' {
			return nil
		}
		obj, path = found, rest
	}
}
