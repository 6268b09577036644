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
)

// eventFormat is the output format of events.
type eventFormat int

const (
	formatPlain     eventFormat = iota // the data, for programs
	formatJSON                         // the envelope, for programs
	formatShownJSON                    // the envelope, with characters escaped that could control a terminal
	formatReadable                     // for people
)

// eventWriter prints each event as one line, with one write.
type eventWriter struct {
	out    io.Writer
	format eventFormat
	line   []byte // buffer, reused
}

// write prints an event. Gaps are printed in the JSON formats only.
func (w *eventWriter) write(e client.Event) error {
	w.line = w.line[:0]
	isJSON := w.format == formatJSON || w.format == formatShownJSON
	switch {
	case isJSON && e.Gap != nil:
		w.line = appendGap(w.line, e.Gap)
	case e.Gap != nil:
		return nil
	case isJSON:
		w.line = oneLine(client.AppendEnvelope(w.line, eventOf(e)))
	case w.format == formatReadable:
		w.line = appendReadable(w.line, e)
	default:
		w.line = appendPlain(w.line, e)
	}
	if w.format == formatShownJSON {
		w.line = harmlessJSON(w.line)
	}
	w.line = append(w.line, '\n')
	_, err := w.out.Write(w.line)
	return err
}

// eventOf returns the hub's form of an event. An id that does not come from a hub is omitted.
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
		panic(err) // cannot fail for strings and a bool
	}
	return append(line, text...)
}

// oneLine replaces line breaks by spaces. In JSON they occur between tokens only.
func oneLine(b []byte) []byte {
	for i, c := range b {
		if c == '\n' || c == '\r' {
			b[i] = ' '
		}
	}
	return b
}

// appendPlain appends the data as one line, unchanged if possible.
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

// appendJSONString appends text as a JSON string with as few escapes as possible.
func appendJSONString(line, text []byte) []byte {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(string(text)); err != nil {
		panic(err) // cannot fail for a string
	}
	return append(line, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...)
}

// maxReadable bounds the bytes of data shown in the readable format.
const maxReadable = 4 << 10

// appendReadable appends time, topic and data, with characters escaped that could control a terminal.
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

// harmless escapes, in Go syntax, the characters that could control a terminal or are invisible: control
// characters, those that change the writing direction, and invalid UTF-8.
func harmless(s string) string { return escaped(s, isOdd) }

// oddBeyondASCII is isOdd without the characters that JSON escapes itself.
func oddBeyondASCII(r rune) bool { return r >= 0x7f && isOdd(r) }

// escaped returns s with the runes for which odd is true escaped in Go syntax.
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

// harmlessJSON escapes the same characters as harmless, but in the syntax of JSON, so that the text has the same
// meaning. text must be one line of JSON: apart from tabs, such characters then occur in strings only.
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

// isOdd reports whether a rune is escaped. U+FFFD is, because it stands for invalid UTF-8.
func isOdd(r rune) bool { return r == utf8.RuneError || !strconv.IsPrint(r) }
