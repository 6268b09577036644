package wire_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/transports/internal/wire"
)

// streamVector is a row of testdata/wire/event-streams.json: a stream, and the events that it
// contains according to the standard.
type streamVector struct {
	Name      string
	Stream    string
	StreamHex string `json:"stream_hex"`
	Events    []wire.SSEEvent
	RetryMS   *int64 `json:"retry_ms"`
	LastID    string `json:"last_id"`
}

func (v *streamVector) bytes(t testing.TB) []byte {
	t.Helper()
	if v.StreamHex == "" {
		return []byte(v.Stream)
	}
	b, err := hex.DecodeString(v.StreamHex)
	require.NoError(t, err)
	return b
}

func TestSSEDecoder(t *testing.T) {
	readers := map[string]func(io.Reader) io.Reader{
		"whole":          func(r io.Reader) io.Reader { return r },
		"byte at a time": iotest.OneByteReader,
		"halves":         iotest.HalfReader,
		"EOF with data":  iotest.DataErrReader,
	}
	for _, v := range readVectors[streamVector](t, "event-streams.json") {
		for how, reader := range readers {
			t.Run(v.Name+", "+how, func(t *testing.T) {
				d := wire.NewSSEDecoder(reader(bytes.NewReader(v.bytes(t))), 0)
				for _, want := range v.Events {
					got, err := d.Next()
					require.NoError(t, err)
					require.Equal(t, want, got)
				}
				for range 2 {
					_, err := d.Next()
					require.Equal(t, io.EOF, err)
				}
				require.Equal(t, v.LastID, d.LastEventID())
				retry, ok := d.Retry()
				require.Equal(t, v.RetryMS != nil, ok)
				if ok {
					require.Equal(t, time.Duration(*v.RetryMS)*time.Millisecond, retry)
				}
			})
		}
	}
}

// Next returns an event as soon as its last byte has arrived. After a CR, the decoder must not wait
// for an LF.
func TestSSEDecoderDoesNotWaitForLF(t *testing.T) {
	for _, end := range []string{"\n\n", "\r\r", "\r\n\r\n", "\r\n\r"} {
		parts := []string{"data: a" + end}
		d := wire.NewSSEDecoder(readerFunc(func(p []byte) (int, error) {
			require.NotEmpty(t, parts, "%q: the decoder must not read past the end of the event", end)
			n := copy(p, parts[0])
			parts = parts[1:]
			return n, nil
		}), 0)
		e, err := d.Next()
		require.NoError(t, err)
		require.Equal(t, "a", e.Data)
	}
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestSSEDecoderReturnsReadersError(t *testing.T) {
	broken := errors.New("connection reset")
	d := wire.NewSSEDecoder(io.MultiReader(strings.NewReader("data: a\n\ndata: b\n"), iotest.ErrReader(broken)), 0)
	_, err := d.Next()
	require.NoError(t, err)
	for range 2 {
		_, err = d.Next()
		require.Equal(t, broken, err)
	}
}

func TestSSEDecoderLimit(t *testing.T) {
	const limit = 5000 // larger than one read
	fill := func(n int) string { return strings.Repeat("x", n) }
	for _, tt := range []struct {
		name, stream string
		ok           bool
	}{
		{"line at the limit", "data:" + fill(limit-5) + "\n\n", true},
		{"line over the limit", "data:" + fill(limit-4) + "\n\n", false},
		{"line without an end", "data:" + fill(3*limit), false},
		{"comment over the limit", ":" + fill(limit) + "\ndata: a\n\n", false},
		{"data at the limit", "data:" + fill(limit-11) + "\ndata: 123456789\n\n", true},
		{"data over the limit", strings.Repeat("data:"+fill(limit/4)+"\n", 5) + "\n", false},
		{"empty data lines over the limit", strings.Repeat("data\n", 2*limit) + "\n", false},
		{"several events, together over the limit", strings.Repeat("data:"+fill(limit/2)+"\n\n", 5), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := wire.NewSSEDecoder(strings.NewReader(tt.stream), limit)
			_, err := d.Next()
			if tt.ok {
				require.NoError(t, err)
				return
			}
			for range 2 {
				require.ErrorIs(t, err, wire.ErrSSETooLong)
				require.ErrorContains(t, err, "5000 bytes")
				_, err = d.Next()
			}
		})
	}
}

func FuzzSSEDecoder(f *testing.F) {
	for _, v := range readVectors[streamVector](f, "event-streams.json") {
		f.Add(v.bytes(f))
	}
	for _, v := range eventVectors(f) {
		f.Add([]byte(v.SSE))
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		whole := decodeStream(t, bytes.NewReader(stream))
		require.Equal(t, whole, decodeStream(t, iotest.OneByteReader(bytes.NewReader(stream))))
		for _, e := range whole {
			for _, s := range []string{e.ID, e.Type, e.Topic} {
				require.NotContains(t, s, "\n")
			}
			require.NotContains(t, e.ID, "\x00")
			require.NotContains(t, e.Data, "\r")
		}
	})
}

func BenchmarkSSEDecoder(b *testing.B) {
	block := []byte("id: 1f0c9a77-42\nevent: paid\ntopic: orders.eu\ndata: " + strings.Repeat("x", 200) + "\n\n")
	stream := bytes.Repeat(block, 100)
	b.ReportAllocs()
	b.SetBytes(int64(len(stream)))
	for b.Loop() {
		decodeStream(b, bytes.NewReader(stream))
	}
}
