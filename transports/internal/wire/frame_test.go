package wire_test

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/internal/wire"
)

func TestEncodeFrame(t *testing.T) {
	for _, v := range eventVectors(t) {
		t.Run(v.Name, func(t *testing.T) {
			frame := wire.EncodeFrame(v.event(t))
			require.Equal(t, v.FrameHead+hex.EncodeToString([]byte(v.Envelope)), hex.EncodeToString(frame))
			require.Equal(t, v.Envelope, string(wire.FramePayload(frame)))
		})
	}
}

// frameVector is a row of testdata/wire/frames.json: the length of a payload, and the header of a text
// frame with such a payload.
type frameVector struct {
	Length int
	Head   string // hexadecimal
}

func TestFrameLengths(t *testing.T) {
	for _, v := range readVectors[frameVector](t, "frames.json") {
		payload := bytes.Repeat([]byte("x"), v.Length)
		frame := wire.AppendTextFrame([]byte("before"), payload)
		require.Equal(t, v.Head, hex.EncodeToString(frame[len("before"):len(frame)-v.Length]))
		require.Equal(t, payload, wire.FramePayload(frame[len("before"):]))

		e := &hub.Event{ID: hub.Cursor{Seq: 1}, Topic: "t", Data: []byte(`""`)}
		if fill := v.Length - len(wire.AppendEnvelope(nil, e)); fill >= 0 {
			e.Data = []byte(`"` + strings.Repeat("x", fill) + `"`)
			frame = wire.EncodeFrame(e)
			require.Equal(t, v.Head, hex.EncodeToString(frame[:len(frame)-v.Length]))
			require.Equal(t, wire.AppendEnvelope(nil, e), wire.FramePayload(frame))
		}
	}
}

func TestCloseFrame(t *testing.T) {
	for _, tt := range []struct {
		name, reason, payload string
	}{
		{"no reason", "", ""},
		{"short", "too slow", "too slow"},
		{"longest reason", strings.Repeat("x", 123), strings.Repeat("x", 123)},
		{"longer", strings.Repeat("x", 124), strings.Repeat("x", 123)},
		{"truncated between two runes", strings.Repeat("é", 62), strings.Repeat("é", 61)},
		{"truncated before a long rune", strings.Repeat("x", 120) + "😀", strings.Repeat("x", 120)},
		{"long rune that fits", strings.Repeat("x", 119) + "😀!", strings.Repeat("x", 119) + "😀"},
		{"not UTF-8", "a\xff", "a\ufffd"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			frame := wire.AppendCloseFrame(nil, 4408, tt.reason)
			require.Equal(t, []byte{0x88, byte(2 + len(tt.payload)), 0x11, 0x38}, frame[:4])
			require.Equal(t, tt.payload, string(frame[4:]))
			require.True(t, utf8.Valid(frame[4:]))
		})
	}
}
