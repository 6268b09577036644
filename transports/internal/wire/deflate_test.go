//go:build !js

package wire_test

import (
	"bytes"
	"compress/flate"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/internal/wire"
)

func init() { encoders["deflate"] = wire.EncodeDeflate }

// inflate decompresses a frame in the format FormDeflate (RFC 7692, section 7.2.2).
func inflate(t require.TestingT, frame []byte) []byte {
	payload := wire.FramePayload(frame)
	if frame[0] == 0x81 {
		return payload
	}
	require.Equal(t, byte(0xc1), frame[0])
	r := flate.NewReader(io.MultiReader(bytes.NewReader(payload), strings.NewReader("\x00\x00\xff\xff\x01\x00\x00\xff\xff")))
	b, err := io.ReadAll(r)
	require.NoError(t, err)
	return b
}

func TestEncodeDeflate(t *testing.T) {
	for _, v := range eventVectors(t) {
		t.Run(v.Name, func(t *testing.T) {
			e := v.event(t)
			require.Equal(t, v.Envelope, string(inflate(t, wire.EncodeDeflate(e))))
		})
	}

	t.Run("compressed if smaller", func(t *testing.T) {
		e := &hub.Event{Topic: "t", Data: []byte(`"` + strings.Repeat("abc ", 100_000) + `"`)}
		frame := wire.EncodeDeflate(e)
		require.Equal(t, byte(0xc1), frame[0])
		require.Less(t, len(frame), 10_000)
		require.Equal(t, wire.AppendEnvelope(nil, e), inflate(t, frame))
	})
	t.Run("uncompressed if not smaller", func(t *testing.T) {
		e := &hub.Event{Topic: "t", Data: []byte("1")}
		require.Equal(t, wire.EncodeFrame(e), wire.EncodeDeflate(e))
	})
}

// Each frame can be decompressed without the frames before it, because context takeover is not used.
func TestDeflateRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		for _, e := range rapid.SliceOfN(anyEvent(), 1, 4).Draw(t, "events") {
			frame := wire.EncodeDeflate(e)
			require.Equal(t, string(wire.AppendEnvelope(nil, e)), string(inflate(t, frame)))
			require.LessOrEqual(t, len(frame), len(wire.EncodeFrame(e)))
		}
	})
}
