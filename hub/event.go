package hub

import (
	"fmt"
	"strings"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"
)

// Limits of an event's members (docs/protocol.md#events).
const (
	MaxTypeLen          = 128     // bytes
	MaxKeyLen           = 128     // bytes
	DefaultMaxEventSize = 1 << 20 // bytes of data
)

// Encoding says what the bytes of an event's data are.
type Encoding uint8

// The three kinds of payload. JSON is one RFC 8259 text without white space around it.
const (
	JSON Encoding = iota
	Text
	Binary
)

// Event is what the hub carries. Who publishes fills Topic, Type, Key, Data and Encoding and
// gives the event away; the hub sets ID and Time, and from then on nobody changes it.
type Event struct {
	ID       Cursor
	Topic    string
	Type     string // optional
	Key      string // optional; read by conflation alone
	Time     time.Time
	Data     []byte
	Encoding Encoding

	keepsForm bool // at least one encoding was kept; guarded by encodings.mu
	// keepsNothing: the event was erased, so what a reader encodes of it yet is not kept; guarded by encodings.mu
	keepsNothing bool
	// superseded: a newer one of the same topic and key is or was in the window, guarded by Hub.mu; of an
	// event that the archive read, in the same chunk, static.
	superseded bool

	// Erases makes this an element of a log that says what was erased, and no event; see Engine.Start. It
	// is zero in what is published.
	Erases uint64

	forms     atomic.Pointer[encoding] // written with encodings.mu held
	encodings *encodingCache           // nil until the in-memory log has the event: nothing is kept

	// Set when the in-memory log takes the event, and static from then on. Neither falls from one event to
	// the next, as Time may. In nanoseconds since 1970.

	order int64 // the latest Time up to this event: searches by time and marks of losses go by it
	taken int64 // the same of times not after this machine's clock: retention by age goes by it
}

// InvalidError says which part of an input is at fault and what was expected.
type InvalidError struct {
	Parameter string // "topic", "type", "key", "data", "cursor", …
	Detail    string // names the limit or the form expected
	TooLarge  bool   // the input is well-formed and over its size limit
}

func (e *InvalidError) Error() string { return e.Parameter + ": " + e.Detail }

func invalid(parameter, detail string) error {
	return &InvalidError{Parameter: parameter, Detail: detail}
}

// Validate says whether the event may be published: its topic, type, key and the size of its
// data, of which at most maxData bytes are allowed. The encoding is for the parser to check.
// The error is an *InvalidError.
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
			Detail:    fmt.Sprintf("at most %d bytes are allowed, these are %d", maxData, len(e.Data)),
			TooLarge:  true,
		}
	}
	return nil
}

// validateType refuses what a browser's EventSource or the hub itself dispatches: a page must be
// able to tell those from the publisher's.
func validateType(s string) error {
	switch {
	case s == "error" || s == "open":
		return invalid("type", "error and open are a browser's own event names")
	case strings.HasPrefix(s, "trivium."):
		return invalid("type", "names that begin with trivium. are the hub's own")
	}
	return validateLabel("type", s, MaxTypeLen)
}

func validateLabel(parameter, s string, limit int) error {
	switch {
	case len(s) > limit:
		return invalid(parameter, fmt.Sprintf("at most %d bytes are allowed, these are %d", limit, len(s)))
	case !utf8.ValidString(s):
		return invalid(parameter, "must be valid UTF-8")
	case strings.ContainsFunc(s, unicode.IsControl):
		return invalid(parameter, "must not have a control character")
	}
	return nil
}

// eventSize is the memory of an event in bytes beside its strings and data: the struct, and its places in the
// window and in its topic's list, which are rings that grow by halves. It counts toward RetainBytes.
const eventSize = 192

// size is what the event counts toward RetainBytes, without its encoded forms and what its topic and its key
// count, see window.size.
func (e *Event) size() int64 {
	return int64(eventSize + len(e.Topic) + len(e.Type) + len(e.Key) + len(e.Data))
}
