package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/terminal"
	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/client"
)

// eventFormat is the output format of events.
type eventFormat int

const (
	formatPlain     eventFormat = iota // the data alone, for programs
	formatJSON                         // the envelope, for programs
	formatShownJSON                    // the envelope, with characters escaped that could control a terminal
	formatReadable                     // a readable line, for people
)

// eventWriter prints each event as one line, by a single write.
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
		w.line = terminal.HarmlessJSON(w.line)
	}
	w.line = append(w.line, '\n')
	_, err := w.out.Write(w.line)
	return err
}

// eventOf converts a client.Event to a hub.Event. It omits an ID that is not a valid cursor of a hub.
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
		panic(err) // never happens for strings and a bool
	}
	return append(line, text...)
}

// oneLine replaces line breaks in JSON by spaces. This does not change values, because JSON strings cannot contain
// unescaped line breaks.
func oneLine(b []byte) []byte {
	for i, c := range b {
		if c == '\n' || c == '\r' {
			b[i] = ' '
		}
	}
	return b
}

// appendPlain appends the data as one line. Data without line breaks is appended unchanged, except that binary data is
// encoded as base64.
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
		panic(err) // never happens for a string
	}
	return append(line, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...)
}

// maxReadable is the maximum number of bytes of data in the readable format.
const maxReadable = 4 << 10

// appendReadable appends time, topic and data, with characters escaped that could control a terminal.
func appendReadable(line []byte, e client.Event) []byte {
	line = e.Time.Local().AppendFormat(line, "15:04:05.000  ")
	line = append(line, terminal.Harmless(e.Topic)...)
	if e.Type != "" {
		line = append(append(line, "  type="...), terminal.Harmless(e.Type)...)
	}
	if e.Key != "" {
		line = append(append(line, "  key="...), terminal.Harmless(e.Key)...)
	}
	line = append(line, "  "...)
	shown := e.Data[:min(len(e.Data), maxReadable)]
	switch e.Encoding {
	case client.Binary:
		line = append(line, "base64:"...)
		line = base64.StdEncoding.AppendEncode(line, shown)
	case client.JSON:
		line = append(line, terminal.Harmless(string(oneLine(shown)))...)
	default:
		line = append(line, terminal.Harmless(string(shown))...)
	}
	if len(shown) < len(e.Data) {
		line = fmt.Appendf(line, "… (%d bytes)", len(e.Data))
	}
	return line
}
