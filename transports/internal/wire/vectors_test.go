package wire_test

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/trivium-hub/trivium/hub"
)

// eventVector is a row of testdata/wire/events.json: an event and all its encodings.
type eventVector struct {
	Name  string
	Event struct {
		ID, Topic, Type, Key, Encoding string
		Time                           time.Time
		Data                           *string
		DataHex                        string `json:"data_hex"`
	}
	Envelope        string
	FrameHead       string `json:"frame_head"` // the header of the frame that contains the envelope, in hexadecimal
	SSE             string
	SSEData         string `json:"sse_data"` // the data that an SSE client receives
	SSEEnvelope     string `json:"sse_envelope"`
	SSEEnvelopeData string `json:"sse_envelope_data"`
}

func (v *eventVector) event(t testing.TB) *hub.Event {
	t.Helper()
	id, err := hub.ParseCursor(v.Event.ID)
	require.NoError(t, err)
	e := &hub.Event{ID: id, Topic: v.Event.Topic, Type: v.Event.Type, Key: v.Event.Key, Time: v.Event.Time}
	switch v.Event.Encoding {
	case "json":
		e.Data = []byte(*v.Event.Data)
	case "text":
		e.Data, e.Encoding = []byte(*v.Event.Data), hub.Text
	case "binary":
		e.Data, err = hex.DecodeString(v.Event.DataHex)
		require.NoError(t, err)
		e.Encoding = hub.Binary
	default:
		t.Fatalf("unknown encoding %q", v.Event.Encoding)
	}
	require.NoError(t, e.Validate(hub.DefaultMaxEventSize), "the event of each row must be valid for publishing")
	return e
}

func eventVectors(t testing.TB) []eventVector {
	return readVectors[eventVector](t, "events.json")
}

// readVectors reads a table of testdata/wire.
func readVectors[Row any](t testing.TB, file string) []Row {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "..", "testdata", "wire", file))
	require.NoError(t, err)
	var rows []Row
	require.NoError(t, json.Unmarshal(b, &rows))
	require.NotEmpty(t, rows)
	return rows
}

// requireSameEvent requires that two events are equal in all fields that clients receive.
func requireSameEvent(t require.TestingT, want, got *hub.Event) {
	require.Equal(t, want.ID, got.ID, "id")
	require.Equal(t, want.Topic, got.Topic, "topic")
	require.Equal(t, want.Type, got.Type, "type")
	require.Equal(t, want.Key, got.Key, "key")
	require.True(t, want.Time.Equal(got.Time), "time: want %v, got %v", want.Time, got.Time)
	require.Equal(t, want.Encoding, got.Encoding, "encoding")
	require.Equal(t, string(want.Data), string(got.Data), "data")
}

// anyEvent returns a generator of random events that a hub may have accepted.
func anyEvent() *rapid.Generator[*hub.Event] {
	piece := rapid.SampledFrom([]string{
		"\r", "\n", "\r\n", " ", ":", "data: x", "\nid: 9", "\revent: y", "\x00", "\"", "\\",
		"\ufeff", "\u2028", "</script>", "é", "日", "😀", "a", "\x7f", "\x1f",
	})
	text := rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOfN(piece, 0, 12).Draw(t, "pieces"), "")
	})
	label := rapid.OneOf(text, rapid.String())
	epoch := rapid.Map(rapid.Uint32(), func(n uint32) hub.Epoch { return hub.Epoch(n) })
	return rapid.Custom(func(t *rapid.T) *hub.Event {
		e := &hub.Event{
			ID:       hub.Cursor{Epoch: epoch.Draw(t, "epoch"), Seq: rapid.Uint64Min(1).Draw(t, "seq")},
			Topic:    label.Draw(t, "topic"),
			Type:     label.Draw(t, "type"),
			Key:      label.Draw(t, "key"),
			Time:     time.Unix(rapid.Int64Range(0, 1<<33).Draw(t, "s"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns")),
			Encoding: hub.Encoding(rapid.IntRange(0, 2).Draw(t, "encoding")),
		}
		switch e.Encoding {
		case hub.Text:
			e.Data = []byte(text.Draw(t, "text"))
		case hub.Binary:
			e.Data = rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "bytes")
		default:
			b, err := json.MarshalIndent(map[string]string{"a": text.Draw(t, "value")}, "\r", "\t")
			require.NoError(t, err)
			e.Data = b
		}
		e.Topic = keepValid(e.Topic, "t", hub.ValidateTopic)
		e.Type = keepValid(e.Type, "", func(s string) error { return (&hub.Event{Topic: "t", Type: s}).Validate(0) })
		e.Key = keepValid(e.Key, "", func(s string) error { return (&hub.Event{Topic: "t", Key: s}).Validate(0) })
		return e
	})
}

// keepValid returns s without the runes that check refuses. If check refuses all runes, keepValid returns
// fallback.
func keepValid(s, fallback string, check func(string) error) string {
	s = strings.Map(func(r rune) rune {
		if check("t"+string(r)+"t") != nil {
			return -1
		}
		return r
	}, s)
	for len(s) > 0 && check(s) != nil {
		_, n := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-n]
	}
	if s == "" {
		return fallback
	}
	return s
}
