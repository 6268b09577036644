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
)

// DatagramMode says how a datagram is read (docs/protocol.md#publishing-over-udp).
type DatagramMode uint8

// The modes. DatagramAuto and DatagramJSON take one JSON text a datagram, or one a line.
const (
	DatagramAuto   DatagramMode = iota // an envelope is one, other JSON is the data, and so is other text
	DatagramJSON                       // the JSON is the data, whatever it looks like
	DatagramRaw                        // the datagram is the data, not looked into
	DatagramSyslog                     // one syslog message, which the source has made JSON of
)

// DatagramModes are the names that ParseDatagramMode takes.
var DatagramModes = []string{"auto", "json", "raw", "syslog"}

// ParseDatagramMode reads one of DatagramModes.
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
	return 0, fmt.Errorf("a datagram format is auto, json, raw or syslog, not %q", s)
}

// DatagramFormat says how datagrams become events.
type DatagramFormat struct {
	Mode  DatagramMode
	Topic string // of what is not an envelope and names none
	// TopicField and TypeField are the members of an object, not an envelope, that name its topic
	// and type, with dots between the names of nested ones. Where the member is missing or no
	// string, Topic stands and there is no type. "" is none; DatagramRaw reads neither.
	TopicField, TypeField string
}

// Validate says whether the format can work: the topic is one, and no name in a path is empty.
// The error is an *hub.InvalidError.
func (f *DatagramFormat) Validate() error {
	if err := hub.ValidateTopic(f.Topic); err != nil {
		return err
	}
	if hasEmptyName(f.TopicField) {
		return badInput("topic-field", "must be names with single dots between them")
	}
	if hasEmptyName(f.TypeField) {
		return badInput("type-field", "must be names with single dots between them")
	}
	return nil
}

func hasEmptyName(path string) bool {
	return path != "" && slices.Contains(strings.Split(path, "."), "")
}

// Reasons for which a text in a datagram is refused, as they are counted.
const (
	RefusedMalformed = "malformed"
	RefusedTooLarge  = "too_large"
	RefusedTopic     = "topic"
	RefusedType      = "type" // or key
)

// RefusalReason gives the reason under which an event is counted that failed to parse or, by
// hub.Event.Validate, to be valid.
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

// Parse appends the events of a datagram to dst and calls refuse with the reason once for each
// text in it that is refused, which leaves the others untouched. The events do not share memory
// with the datagram. They are parsed, not validated: for that there is hub.Event.Validate.
func (f *DatagramFormat) Parse(dst []*hub.Event, datagram []byte, refuse func(reason string)) []*hub.Event {
	if f.Mode == DatagramRaw {
		return append(dst, f.raw(datagram))
	}
	take := func(text []byte) {
		e, err := f.parse(text)
		if err != nil {
			refuse(RefusalReason(err))
			return
		}
		dst = append(dst, e)
	}
	text := trimJSON(bytes.TrimRight(bytes.TrimPrefix(datagram, byteOrderMark), "\x00"))
	switch {
	case len(text) == 0, isCutOff(text):
		refuse(RefusedMalformed)
	case validJSON(text):
		take(text)
	default:
		for line := range bytes.SplitSeq(text, []byte{'\n'}) {
			line = trimJSON(line)
			switch {
			case len(line) == 0:
			case validJSON(line):
				take(line)
			case f.Mode == DatagramAuto && line[0] != '{' && line[0] != '[' && utf8.Valid(line):
				dst = append(dst, &hub.Event{Topic: f.Topic, Data: bytes.Clone(line), Encoding: hub.Text})
			default:
				refuse(RefusedMalformed)
			}
		}
	}
	return dst
}

// byteOrderMark is put before UTF-8 text by some systems.
var byteOrderMark = []byte("\ufeff")

// isCutOff reports whether the text is an array or object without its end. None of its lines is an event
// then, though one that holds a number alone would be JSON.
func isCutOff(text []byte) bool {
	if text[0] != '{' && text[0] != '[' {
		return false
	}
	err := json.Compact(new(bytes.Buffer), text) // not Unmarshal: see whyNotJSON
	return err != nil && err.Error() == "unexpected end of JSON input"
}

func (f *DatagramFormat) raw(datagram []byte) *hub.Event {
	e := &hub.Event{Topic: f.Topic, Data: bytes.Clone(datagram), Encoding: hub.Binary}
	if utf8.Valid(datagram) {
		e.Encoding = hub.Text
	}
	return e
}

// parse reads one valid JSON text.
func (f *DatagramFormat) parse(text []byte) (*hub.Event, error) {
	topic, kind := f.Topic, ""
	if text[0] == '{' {
		if f.Mode == DatagramAuto {
			var v envelope
			if v.read(text); v.topics && (v.data != nil || v.base64 != nil) {
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

// cloudEventWithTopic returns the event of a CloudEvent that would be taken for an envelope since it has an
// attribute topic, and would lose its other attributes; nil if the text is no CloudEvent.
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

// fieldOr gives the string at the path, or otherwise where there is no such. The error is for the
// parameter.
func fieldOr(obj []byte, path, parameter, otherwise string) (string, error) {
	if path == "" {
		return otherwise, nil
	}
	value := lookup(obj, path)
	if !isString(value) {
		return otherwise, nil
	}
	return requireString(parameter, value)
}

// lookup gives the raw value at a dotted path, nil if there is none. Of equal names the last
// counts, as for nearly every JSON parser.
func lookup(obj []byte, path string) []byte {
	for {
		name, rest, more := strings.Cut(path, ".")
		var found []byte
		_ = members(obj, func(n string, value []byte) error {
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
