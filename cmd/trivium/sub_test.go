package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/client"
)

// printed returns the line that sub prints for an event in a format.
func printed(t require.TestingT, form eventFormat, e client.Event) string {
	var out bytes.Buffer
	w := &eventWriter{out: &out, format: form}
	require.NoError(t, w.write(e))
	return out.String()
}

func TestSubFormats(t *testing.T) {
	at := time.Date(2026, 1, 2, 15, 4, 5, 67_000_000, time.Local)
	const begin = "15:04:05.067  a.b  "
	for name, c := range map[string]struct {
		event                 client.Event
		plain, json, readable string // expected lines; json is only the end of its line
	}{
		"JSON": {
			client.Event{Data: []byte(`{"n": 1.50}`)},
			`{"n": 1.50}`, `"data":{"n": 1.50}}`, begin + `{"n": 1.50}`,
		},
		"JSON of several lines": {
			client.Event{Data: []byte("{\r\n  \"s\": \"a\\nb\"\n}")},
			`{    "s": "a\nb" }`, `"data":{    "s": "a\nb" }}`, begin + `{    "s": "a\nb" }`,
		},
		"text": {
			client.Event{Data: []byte("früh \x1b[31m<b>"), Encoding: client.Text},
			"früh \x1b[31m<b>", `"text":true,"data":"früh \u001b[31m<b>"}`, begin + `früh \x1b[31m<b>`,
		},
		"text of several lines": {
			client.Event{Data: []byte("a \"<b>\"\r\nc"), Encoding: client.Text},
			`"a \"<b>\"\r\nc"`, `"text":true,"data":"a \"<b>\"\r\nc"}`, begin + `a "<b>"\r\nc`,
		},
		"empty text": {
			client.Event{Encoding: client.Text}, "", `"text":true,"data":""}`, begin,
		},
		"binary": {
			client.Event{Data: []byte{0, 255, '\n'}, Encoding: client.Binary},
			"AP8K", `"data_base64":"AP8K"}`, begin + "base64:AP8K",
		},
		"type and key": {
			client.Event{Type: "paid", Key: "k\u202e1", Data: []byte("1")},
			"1", `"data":1}`, begin[:len(begin)-2] + `  type=paid  key=k\u202e1  1`,
		},
		"long text": {
			client.Event{Data: []byte(strings.Repeat("ü", 3000)), Encoding: client.Text},
			strings.Repeat("ü", 3000), `"text":true,"data":"` + strings.Repeat("ü", 3000) + `"}`,
			begin + strings.Repeat("ü", 2048) + "… (6000 bytes)",
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := c.event
			e.ID, e.Topic, e.Time = "0000000a-7", "a.b", at
			require.Equal(t, c.plain+"\n", printed(t, formatPlain, e))
			require.Equal(t, c.readable+"\n", printed(t, formatReadable, e))
			line := printed(t, formatJSON, e)
			require.True(t, strings.HasPrefix(line, `{"id":"0000000a-7","topic":"a.b",`), line)
			require.True(t, strings.HasSuffix(line, c.json+"\n"), line)
		})
	}
	gap := client.Event{ID: "0000000a-7", Gap: &client.Gap{Reason: hub.GapExpired, After: "0000000a-1", ResumedAt: hub.Cursor{Epoch: 10, Seq: 7}, Certain: true}}
	require.Equal(t, `{"gap":{"reason":"expired","after":"0000000a-1","resumed_at":"0000000a-7","certain":true}}`+"\n", printed(t, formatJSON, gap))
	require.Empty(t, printed(t, formatPlain, gap))
	require.Empty(t, printed(t, formatReadable, gap))
}

// TestSubPrintsOneLinePerEvent checks, for random events, that each format is a single line, that the
// formats for terminals contain no control characters, and that all formats except the readable one can
// be decoded to the same data.
func TestSubPrintsOneLinePerEvent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOf(rapid.OneOf(rapid.Rune(), rapid.SampledFrom([]rune("\r\n\t\x1b\x00\u0085\u2028\u200f\ufffd \"\\")))).Draw(t, "text")
		raw := rapid.OneOf(rapid.Just([]byte(text)), rapid.SliceOf(rapid.Byte())).Draw(t, "data")
		e := client.Event{ID: "0000000a-7", Topic: "a", Key: text, Data: raw, Encoding: client.Text}
		if !utf8.Valid(raw) {
			e.Encoding = client.Binary
		} else if rapid.Bool().Draw(t, "JSON") {
			spelled, err := json.MarshalIndent(map[string]string{text: text}, "\n", "\r\n")
			require.NoError(t, err)
			e.Data, e.Encoding = spelled, client.JSON
		}
		data := bytes.Clone(e.Data)
		for _, form := range []eventFormat{formatPlain, formatJSON, formatShownJSON, formatReadable} {
			e.Data = bytes.Clone(data)
			line := printed(t, form, e)
			require.Equal(t, len(line)-1, strings.IndexByte(line, '\n'))
			if form == formatReadable || form == formatShownJSON {
				for _, r := range strings.TrimSuffix(line, "\n") {
					require.True(t, unicode.IsGraphic(r) && r != '\u00a0', "%q in %q", r, line)
				}
			}
			if form == formatReadable {
				continue
			}
			back := []byte(strings.TrimSuffix(line, "\n"))
			if form != formatPlain {
				envelope, err := client.DecodeEnvelope(back)
				require.NoError(t, err)
				back = envelope.Data
			} else if e.Encoding == client.Binary {
				var err error
				back, err = base64.StdEncoding.DecodeString(string(back))
				require.NoError(t, err)
			} else if bytes.ContainsAny(data, "\r\n") && e.Encoding == client.Text {
				var s string
				require.NoError(t, json.Unmarshal(back, &s))
				back = []byte(s)
			}
			if e.Encoding == client.JSON {
				require.JSONEq(t, string(data), string(back))
			} else {
				require.Equal(t, string(data), string(back))
			}
		}
	})
}

func TestSubCursorFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "cursor")
	write := func(name, content string) string {
		file := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(file, []byte(content), 0o644))
		return file
	}
	f, err := openCursorFile(path)
	require.NoError(t, err)
	require.Empty(t, f.cursor())
	require.NoError(t, f.save(""))
	require.NoFileExists(t, path, "an empty cursor is not saved")
	for _, cursor := range []string{"0000000a-1", "0000000a-2", "0000000a-2"} {
		require.NoError(t, f.save(cursor))
		content, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, cursor+"\n", string(content))
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	}
	f, err = openCursorFile(path)
	require.NoError(t, err)
	require.Equal(t, "0000000a-2", f.cursor())
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 1, "no temporary file remains")

	f, err = openCursorFile(write("empty", " \n"))
	require.NoError(t, err)
	require.Empty(t, f.cursor())
	readOnly := write("read-only", "0000000a-1\n")
	require.NoError(t, os.Chmod(readOnly, 0o444))
	for _, bad := range []string{
		write("other", "hello world\n"), write("two", "0000000a-1\n0000000a-2\n"), write("large", strings.Repeat("0", 5000)),
		readOnly, dir, os.DevNull, filepath.Join(dir, "nowhere", "cursor"), filepath.Join(path, "cursor"),
	} {
		_, err := openCursorFile(bad)
		require.Error(t, err, bad)
		require.Less(t, len(err.Error()), 300)
	}

	// If the path is a symbolic link, it still leads to the file after an update.
	link := filepath.Join(t.TempDir(), "link")
	require.NoError(t, os.Symlink(path, link))
	f, err = openCursorFile(link)
	require.NoError(t, err)
	require.NoError(t, f.save("0000000a-3"))
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "0000000a-3\n", string(content))

	// If the file cannot be replaced, its content stays unchanged, and the error names the file.
	f, err = openCursorFile(path)
	require.NoError(t, err)
	f.path = dir // a file cannot replace a directory
	require.Error(t, f.save("0000000a-4"))
	entries, err = os.ReadDir(filepath.Dir(dir))
	require.NoError(t, err)
	for _, entry := range entries {
		require.NotContains(t, entry.Name(), "trivium-cursor")
	}
}

func TestSubStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		l := newStatusLine(&out)
		l.width = func() int { return 60 }
		live := client.State{Phase: client.Live, Transport: client.LongPoll, Reason: strconv.ErrSyntax}
		shown := func(state client.State, delivered, gaps uint64) string {
			out.Reset()
			l.draw(state, client.Stats{Delivered: delivered, Gaps: gaps})
			return out.String()
		}
		require.Equal(t, "\r\x1b[Kconnecting over websocket | 0 events, 0.0/s", shown(client.State{Transport: client.WebSocket}, 0, 0))
		time.Sleep(time.Second)
		require.Equal(t, "\r\x1b[Klive over longpoll | 10 events, 10.0/s | invalid syntax", shown(live, 10, 0))
		time.Sleep(time.Second)
		require.Equal(t, "\r\x1b[Klive over longpoll | 10 events, 5.0/s, 2 gaps | invalid syn", shown(live, 10, 2), "the line is narrower than the terminal")
		l.width = func() int { return 100 }
		waiting := client.State{Phase: client.Waiting, Transport: client.SSE, Wait: 2345 * time.Millisecond, Reason: os.ErrClosed}
		require.Equal(t, "\r\x1b[Knot connected, retrying in 2.3s | 10 events, 5.0/s | file already closed", shown(waiting, 10, 0))
		time.Sleep(10 * time.Second)
		require.Contains(t, shown(live, 10, 0), " 0.0/s", "events of an earlier period do not count toward the rate")
		out.Reset()
		l.erase()
		l.erase()
		require.Equal(t, "\r\x1b[K", out.String())
	})
}

// TestSubReportsEachChangeOnce checks that sub prints one line for each loss of the connection, and one
// line for each reconnection.
func TestSubReportsEachChangeOnce(t *testing.T) {
	var out bytes.Buffer
	n := &statusReporter{out: &out}
	waiting := client.State{Phase: client.Waiting, Reason: strconv.ErrRange}
	for _, state := range []client.State{
		{Phase: client.Connecting, Transport: client.WebSocket},
		{Phase: client.Connecting, Transport: client.SSE, Reason: strconv.ErrSyntax},
		{Phase: client.Connecting, Transport: client.LongPoll, Reason: strconv.ErrRange},
		{Phase: client.Live, Transport: client.WebSocket},
		waiting, {Phase: client.Connecting, Transport: client.WebSocket, Reason: strconv.ErrRange}, waiting,
		{Phase: client.Live, Transport: client.SSE, Reason: strconv.ErrSyntax},
		{Phase: client.Live, Transport: client.SSE, Reason: strconv.ErrSyntax},
		waiting,
		{Phase: client.Live, Transport: client.WebSocket},
	} {
		n.report(state, client.Stats{})
		n.report(state, client.Stats{})
	}
	require.Equal(t, `trivium: not connected, retrying: invalid syntax
trivium: connected over websocket
trivium: not connected, retrying: value out of range
trivium: connected over sse: invalid syntax
trivium: not connected, retrying: value out of range
trivium: connected over websocket
`, out.String())
}
