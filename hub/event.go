package hub

import (
	"fmt"
	"strings"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"
)

// Limits of the members of an event (docs/protocol.md#events).
const (
	MaxTypeLen          = 128     // bytes
	MaxKeyLen           = 128     // bytes
	DefaultMaxEventSize = 1 << 20 // bytes of data
)

// Encoding is the kind of an event's data.
type Encoding uint8

// Kinds of data. JSON data is one JSON value (RFC 8259) without surrounding white space.
const (
	JSON Encoding = iota
	Text
	Binary
)

// Event is one published message. The publisher sets Topic, Type, Key, Data and Encoding, and must not use the
// event after publishing it. The hub sets ID and Time. After that the event must not be changed.
type Event struct {
	ID       Cursor
	Topic    string
	Type     string // optional
	Key      string // optional; used only for conflation
	Time     time.Time
	Data     []byte
	Encoding Encoding

	// superseded is set if there is a newer event with the same topic and key. For an event of the
	// in-memory log, the newer event is or was in that log, and Hub.mu guards the field. For an event
	// of a replay chunk, the newer event is in the same chunk, and the field is static.
	superseded bool

	// Erases is the seq of the event that this element erases. Such an element is not an event; see Engine.Start.
	// Erases is zero in published events.
	Erases uint64

	attachment atomic.Pointer[Attachment]
	// removedTo points to memlog.removedTo. It is set when the event is added to the in-memory log, and
	// static from then on.
	removedTo *atomic.Uint64

	// These fields are set when the event is added to the in-memory log, and are static from then
	// on. Both are in nanoseconds since 1970. Unlike Time, they never decrease from one event to
	// the next.

	maxTime int64 // the latest Time of this event and all earlier ones; used for searches by time and for loss marks
	// ageTime is like maxTime, but never later than this machine's clock. It is used for retention by age.
	// The memory engine reads the clock for each publish and sets ageTime itself, so that the in-memory log
	// need not read the clock again.
	ageTime int64
}

// InvalidError reports which parameter of an input is invalid and what was expected.
type InvalidError struct {
	Parameter string // "topic", "type", "key", "data", "cursor", …
	Detail    string // names the limit or the expected format
	TooLarge  bool   // the input is well-formed but exceeds its size limit
}

func (e *InvalidError) Error() string { return e.Parameter + ": " + e.Detail }

func invalid(parameter, detail string) error {
	return &InvalidError{Parameter: parameter, Detail: detail}
}

// Validate reports whether the event may be published. It checks the topic, the type, the key and that the data
// has at most maxData bytes. It does not check that the data is valid in its Encoding. The error is an
// *InvalidError.
func (e *Event) Validate(maxData int) error {
	if err := ValidateTopic(e.Topic); err != nil {
		return err
	}
	if err := validateType(e.Type); err != nil {
		return err
	}
	if err := validateLabel("key", e.Key, MaxKeyLen); err != nil {
		return err
	}
	if len(e.Data) > maxData {
		return &InvalidError{
			Parameter: "data",
			Detail:    fmt.Sprintf("at most %d bytes are allowed, got %d", maxData, len(e.Data)),
			TooLarge:  true,
		}
	}
	return nil
}

// validateType reports whether s may be an event type. It rejects the types that a browser's EventSource or the
// hub itself dispatches, so that a page can distinguish them from published events.
func validateType(s string) error {
	switch {
	case s == "error" || s == "open":
		return invalid("type", "error and open are reserved: browsers use them for their own events")
	case strings.HasPrefix(s, "trivium."):
		return invalid("type", "names that begin with trivium. are reserved for the hub")
	}
	return validateLabel("type", s, MaxTypeLen)
}

func validateLabel(parameter, s string, limit int) error {
	switch {
	case len(s) > limit:
		return invalid(parameter, fmt.Sprintf("at most %d bytes are allowed, got %d", limit, len(s)))
	case !utf8.ValidString(s):
		return invalid(parameter, "must be valid UTF-8")
	case strings.ContainsFunc(s, unicode.IsControl):
		return invalid(parameter, "must not contain control characters")
	}
	return nil
}

// eventSize is the number of bytes that an event occupies in memory, without its strings and data: the struct
// and its entries in two ring buffers, the in-memory log and the log of its topic. A ring buffer doubles its
// size when it is full. eventSize counts toward Retention.Bytes.
const eventSize = 192

// size returns how many bytes of Retention.Bytes the event uses. memlog.size adds the index entries of
// its topic and key. The attachment is not counted.
func (e *Event) size() int64 {
	return int64(eventSize + len(e.Topic) + len(e.Type) + len(e.Key) + len(e.Data))
}

// erasedElement returns the element that replaces an erased event in a log.
func erasedElement(id Cursor) *Event { return &Event{ID: id, Erases: id.Seq} }

// isDeletedRange reports whether the element marks a deleted range of the log, see Engine.Start.
func (e *Event) isDeletedRange() bool { return e.Topic == "" && e.Erases == 0 }
