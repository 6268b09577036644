package jetstream

import (
	"bytes"
	"encoding/json"
	"math"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/nats-io/nats.go"

	"github.com/trivium-hub/trivium/hub"
)

// headerEvent is the header with an event's encoding, type and key: the letter of the encoding,
// then the escaped type and key, each after a slash. Empty parts at the end are omitted. A message
// without the header has no type and no key, and its encoding is derived from the data. Most events
// therefore need no header, and other programs can publish events.
const headerEvent = "Trivium"

var encodingLetters = map[hub.Encoding]string{hub.JSON: "j", hub.Text: "t", hub.Binary: "b"}

// encode returns the message of an event. Every topic is valid as part of a subject.
func (e *Engine) encode(event *hub.Event) *nats.Msg {
	m := &nats.Msg{Subject: e.prefix + event.Topic, Data: event.Data}
	if event.Encoding == hub.JSON && event.Type == "" && event.Key == "" {
		return m
	}
	about := encodingLetters[event.Encoding]
	if event.Type != "" || event.Key != "" {
		about += "/" + url.PathEscape(event.Type)
	}
	if event.Key != "" {
		about += "/" + url.PathEscape(event.Key)
	}
	m.Header = nats.Header{headerEvent: {about}}
	return m
}

// decode returns the event of a message of the stream, or nil if the message is not an event.
func (e *Engine) decode(headers nats.Header, data []byte, subject string, seq uint64, at time.Time) *hub.Event {
	topic, ours := strings.CutPrefix(subject, e.prefix)
	if !ours {
		return nil
	}
	event := &hub.Event{ID: hub.Cursor{Epoch: e.epoch, Seq: seq}, Topic: topic, Time: at.UTC(), Data: data}
	if about := headers[headerEvent]; len(about) == 0 {
		event.Encoding = guessEncoding(data)
	} else if !parseEventHeader(event, about[0]) || !validData(event.Encoding, data) {
		return nil // other programs may publish any data, and clients would fail on invalid JSON
	}
	if event.Validate(math.MaxInt) != nil {
		return nil
	}
	return event
}

// parseEventHeader sets the event's encoding, type and key from the header, and reports whether the header is
// valid.
func parseEventHeader(event *hub.Event, about string) bool {
	letter, rest, _ := strings.Cut(about, "/")
	switch letter {
	case "j":
		event.Encoding = hub.JSON
	case "t":
		event.Encoding = hub.Text
	case "b":
		event.Encoding = hub.Binary
	default:
		return false
	}
	if rest == "" {
		return true
	}
	kind, key, _ := strings.Cut(rest, "/")
	var err error
	if event.Type, err = url.PathUnescape(kind); err != nil {
		return false
	}
	event.Key, err = url.PathUnescape(key)
	return err == nil
}

// guessEncoding returns the encoding of an event whose message has no header.
func guessEncoding(data []byte) hub.Encoding {
	switch {
	case validData(hub.JSON, data) && len(bytes.TrimSpace(data)) == len(data):
		return hub.JSON
	case validData(hub.Text, data):
		return hub.Text
	default:
		return hub.Binary
	}
}

// validData reports whether data is valid in the encoding.
func validData(encoding hub.Encoding, data []byte) bool {
	switch encoding {
	case hub.JSON:
		return json.Valid(data) && utf8.Valid(data)
	case hub.Text:
		return utf8.Valid(data)
	default:
		return true
	}
}

// lostRange returns the log element for a range of lost events that ends at seq.
func (e *Engine) lostRange(seq uint64) *hub.Event {
	return &hub.Event{ID: hub.Cursor{Epoch: e.epoch, Seq: seq}}
}
