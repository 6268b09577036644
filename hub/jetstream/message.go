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

// header says what an event is beside its topic and its data: the encoding's letter, the type and the
// key, escaped, with slashes between them and none at the end. A message without it has no type and
// no key, and its data says what it is: most events need no more, and others may publish such.
const headerEvent = "Trivium"

var encodingLetters = map[hub.Encoding]string{hub.JSON: "j", hub.Text: "t", hub.Binary: "b"}

// encode makes the message of an event. Subjects and topics are made of the same tokens, but that a
// subject may have more in them.
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

// decode gives the event of a message of the stream, nil if it is none.
func (e *Engine) decode(headers nats.Header, data []byte, subject string, seq uint64, at time.Time) *hub.Event {
	topic, ours := strings.CutPrefix(subject, e.prefix)
	if !ours {
		return nil
	}
	event := &hub.Event{ID: hub.Cursor{Epoch: e.epoch, Seq: seq}, Topic: topic, Time: at.UTC(), Data: data}
	if about := headers[headerEvent]; len(about) == 0 {
		event.Encoding = guessEncoding(data)
	} else if !parseEventHeader(event, about[0]) || !validData(event.Encoding, data) {
		return nil // others may publish too, and what is no JSON would end its readers
	}
	if event.Validate(math.MaxInt) != nil {
		return nil
	}
	return event
}

// parseEventHeader reads the header; false means that it is none of ours.
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

// guessEncoding judges data that nobody has described.
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

// fits reports that data is what an event of the encoding may have.
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

// hole is the element that stands for all up to seq being gone.
func (e *Engine) hole(seq uint64) *hub.Event {
	return &hub.Event{ID: hub.Cursor{Epoch: e.epoch, Seq: seq}}
}
