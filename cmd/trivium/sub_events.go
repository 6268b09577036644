package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/client"
	"github.com/trivium-hub/trivium/transports/wire"
)

// eventForm is how events are printed.
type eventForm int

const (
	formPlain     eventForm = iota // the data, for another program
	formJSON                       // the envelope, for another program
	formShownJSON                  // the envelope, such that a terminal does no more than show it
	formReadable                   // for a person
)

// eventWriter prints events, one line each, one write each.
type eventWriter struct {
	out  io.Writer
	form eventForm
	line []byte // of the event before; its memory serves again
}

// write prints an event. A gap is a line in JSON alone; the other forms have no room for one.
func (w *eventWriter) write(e client.Event) error {
	w.line = w.line[:0]
	isJSON := w.form == formJSON || w.form == formShownJSON
	switch {
	case isJSON && e.Gap != nil:
		w.line = appendGap(w.line, e.Gap)
	case e.Gap != nil:
		return nil
	case isJSON:
		w.line = oneLine(wire.AppendEnvelope(w.line, eventOf(e)))
	case w.form == formReadable:
		w.line = appendReadable(w.line, e)
	default:
		w.line = appendPlain(w.line, e)
	}
	if w.form == formShownJSON {
		w.line = harmlessJSON(w.line)
	}
	w.line = append(w.line, '\n')
	_, err := w.out.Write(w.line)
	return err
}

// eventOf gives what the client got as the hub has it. The id is one of a hub's, or it would be left
// out.
func eventOf(e client.Event) *hub.Event {
	id, _ := hub.ParseCursor(e.ID)
	return &hub.Event{ID: id, Topic: e.Topic, Type: e.Type, Key: e.Key, Time: e.Time, Data: e.Data, Encoding: e.Encoding}
}

func appendGap(line []byte, gap *client.Gap) []byte {
	text, err := json.Marshal(map[string]any{"gap": struct {
		Reason    hub.GapReason `json:"reason"`
		After     string        `json:"after,omitempty"`
		ResumedAt string        `json:"resumed_at"`
		Certain   bool          `json:"certain"`
	}{gap.Reason, gap.After, gap.ResumedAt.String(), gap.Certain}})
	if err != nil {
		panic(err) // strings and a bool can always be written
	}
	return append(line, text...)
}

// oneLine makes line breaks spaces. In JSON they stand between tokens only.
func oneLine(b []byte) []byte {
	for i, c := range b {
		if c == '\n' || c == '\r' {
			b[i] = ' '
		}
	}
	return b
}

// appendPlain spells the data in one line, as it is where that can be.
func appendPlain(line []byte, e client.Event) []byte {
	switch {
	case e.Encoding == client.Binary:
		return base64.StdEncoding.AppendEncode(line, e.Data)
	case e.Encoding == client.JSON:
		return append(line, oneLine(e.Data)...)
	case bytes.ContainsAny(e.Data, "\n\r"):
		return appendJSONString(line, e.Data)
	}
	return append(line, e.Data...)
}

// appendJSONString spells text as JSON does, with no more escapes than it asks for.
func appendJSONString(line, text []byte) []byte {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(string(text)); err != nil {
		panic(err) // a string can always be written
	}
	return append(line, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...)
}

// maxReadable bounds what a person is shown of an event's data, in bytes.
const maxReadable = 4 << 10

// appendReadable spells when, where and what, such that nothing in it makes a terminal do more than
// show it.
func appendReadable(line []byte, e client.Event) []byte {
	line = e.Time.Local().AppendFormat(line, "15:04:05.000  ")
	line = append(line, harmless(e.Topic)...)
	if e.Type != "" {
		line = append(append(line, "  type="...), harmless(e.Type)...)
	}
	if e.Key != "" {
		line = append(append(line, "  key="...), harmless(e.Key)...)
	}
	line = append(line, "  "...)
	shown := e.Data[:min(len(e.Data), maxReadable)]
	switch e.Encoding {
	case client.Binary:
		line = append(line, "base64:"...)
		line = base64.StdEncoding.AppendEncode(line, shown)
	case client.JSON:
		line = append(line, harmless(string(oneLine(shown)))...)
	default:
		line = append(line, harmless(string(shown))...)
	}
	if len(shown) < len(e.Data) {
		line = fmt.Appendf(line, "… (%d bytes)", len(e.Data))
	}
	return line
}

// harmless is text with what a terminal would obey, or what is not to be seen, written as Go escapes
// it: control characters, those that turn the direction of writing, what is not UTF-8.
func harmless(s string) string { return escaped(s, isOdd) }

// oddBeyondASCII is isOdd for what JSON lets stand as it is.
func oddBeyondASCII(r rune) bool { return r >= 0x7f && isOdd(r) }

// escaped is text with the runes that are odd written as Go escapes them.
func escaped(s string, odd func(rune) bool) string {
	if strings.IndexFunc(s, odd) < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		if odd(r) {
			quoted := strconv.Quote(s[i : i+size])
			b.WriteString(quoted[1 : len(quoted)-1])
		} else {
			b.WriteString(s[i : i+size])
		}
		i += size
	}
	return b.String()
}

// harmlessJSON is harmless as JSON escapes it, so that it means the same. All that is odd in JSON
// stands in its strings, but for a tab.
func harmlessJSON(text []byte) []byte {
	odd := func(r rune) bool { return r != '\t' && isOdd(r) }
	if bytes.IndexFunc(text, odd) < 0 {
		return text
	}
	var b []byte
	for _, r := range string(text) {
		if !odd(r) {
			b = utf8.AppendRune(b, r)
			continue
		}
		for _, unit := range utf16.AppendRune(nil, r) {
			b = fmt.Appendf(b, `\u%04x`, unit)
		}
	}
	return b
}

// isOdd takes U+FFFD for what is not UTF-8; one that was sent is shown escaped as well.
func isOdd(r rune) bool { return r == utf8.RuneError || !strconv.IsPrint(r) }
