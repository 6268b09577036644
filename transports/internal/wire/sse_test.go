package wire_test

import (
	"bytes"
	"io"
	"net/http/httputil"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/internal/wire"
	"github.com/trivium-hub/trivium/transports/problems"
)

// decodeStream returns all events of a stream. It requires that the stream ends without an error.
func decodeStream(t require.TestingT, r io.Reader) []wire.SSEEvent {
	d := wire.NewSSEDecoder(r, 0)
	var events []wire.SSEEvent
	for {
		e, err := d.Next()
		if err == io.EOF {
			return events
		}
		require.NoError(t, err)
		events = append(events, e)
	}
}

func TestEncodeSSE(t *testing.T) {
	for _, v := range eventVectors(t) {
		t.Run(v.Name, func(t *testing.T) {
			e := v.event(t)
			require.Equal(t, v.SSE, string(wire.Unchunk(wire.EncodeSSE(e))))
			require.Equal(t, v.SSEEnvelope, string(wire.Unchunk(wire.EncodeSSEEnvelope(e))))

			require.Equal(t, []wire.SSEEvent{
				{ID: v.Event.ID, Type: v.Event.Type, Topic: v.Event.Topic, Data: v.SSEData},
				{ID: v.Event.ID, Data: v.SSEEnvelopeData},
			}, decodeStream(t, strings.NewReader(v.SSE+v.SSEEnvelope)))
		})
	}
}

// requireNoForging requires that the encoding of an event is decoded to exactly that event. Line ends and
// other text in the event's members must not be decoded as further fields or events.
func requireNoForging(t require.TestingT, e *hub.Event) {
	stream := append(wire.EncodeSSE(e), wire.EncodeSSEEnvelope(e)...)
	stream = append(stream, wire.LastChunk...)
	events := decodeStream(t, httputil.NewChunkedReader(bytes.NewReader(stream)))
	require.Len(t, events, 2)

	lines := strings.NewReplacer("\r\n", "\n", "\r", "\n")
	require.Equal(t, e.ID.String(), events[0].ID)
	require.Equal(t, e.Type, events[0].Type)
	require.Equal(t, e.Topic, events[0].Topic)
	if e.Encoding != hub.Binary {
		require.Equal(t, lines.Replace(string(e.Data)), events[0].Data)
	}

	require.Equal(t, wire.SSEEvent{ID: e.ID.String(), Data: events[1].Data}, events[1])
	back, err := wire.DecodeEnvelope([]byte(events[1].Data))
	require.NoError(t, err)
	want := &hub.Event{
		ID: e.ID, Topic: e.Topic, Type: e.Type, Key: e.Key, Time: e.Time, Encoding: e.Encoding, Data: e.Data,
	}
	if e.Encoding == hub.JSON {
		want.Data = []byte(lines.Replace(string(e.Data)))
	}
	requireSameEvent(t, want, back)
}

func TestSSERoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { requireNoForging(t, anyEvent().Draw(t, "event")) })
}

func FuzzSSERoundTrip(f *testing.F) {
	for _, v := range eventVectors(f) {
		e := v.event(f)
		f.Add(e.Topic, e.Type, e.Key, string(e.Data), e.Encoding == hub.Binary)
	}
	f.Fuzz(func(t *testing.T, topic, typ, key, data string, binary bool) {
		e := &hub.Event{
			ID: hub.Cursor{Epoch: 1, Seq: 1}, Time: time.Unix(1, 0), Encoding: hub.Text,
			Topic: topic, Type: typ, Key: key, Data: []byte(strings.ToValidUTF8(data, "?")),
		}
		if binary {
			e.Encoding, e.Data = hub.Binary, []byte(data)
		}
		if e.Validate(hub.DefaultMaxEventSize) != nil {
			return
		}
		requireNoForging(t, e)
	})
}

func TestChunk(t *testing.T) {
	for _, n := range []int{1, 9, 10, 15, 16, 255, 256, 65536} {
		block := bytes.Repeat([]byte("\r\n"), n)[:n]
		chunk := wire.AppendChunk([]byte{}, block)
		require.Equal(t, block, wire.Unchunk(chunk))
		body, err := io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(append(chunk, wire.LastChunk...))))
		require.NoError(t, err)
		require.Equal(t, block, body)
	}
	require.Equal(t, "x", string(wire.AppendChunk([]byte("x"), nil)), "AppendChunk must not append a chunk for an empty block")
}

func TestSSEControl(t *testing.T) {
	resumed := hub.Cursor{Epoch: 0x1f0c9a77, Seq: 42}
	gap := &hub.Gap{Reason: hub.GapExpired, After: "1f0c9a77-7", ResumedAt: resumed, Certain: true}
	sinceGap := &hub.Gap{Reason: hub.GapExpired, ResumedAt: resumed}
	problem, slow := problems.BadParameter("topic", "a\rb"), problems.TooSlow()
	const id, none = "1f0c9a77-42", wire.HeartbeatUnknown
	for _, tt := range []struct {
		name    string
		message wire.Message
		want    string
	}{
		{"open", wire.Message{Op: wire.OpHello, ID: id, Retry: 2500 * time.Millisecond, Heartbeat: none},
			"retry: 2500\nevent: trivium.open\nid: 1f0c9a77-42\ndata: {}\n\n"},
		{"heartbeat", wire.Message{Op: wire.OpHeartbeat, ID: id, Heartbeat: none},
			"event: trivium.heartbeat\nid: 1f0c9a77-42\ndata: {}\n\n"},
		{"gap", wire.Message{Op: wire.OpGap, ID: id, Gap: gap, Heartbeat: none}, "event: trivium.gap\nid: 1f0c9a77-42\n" +
			`data: {"reason":"expired","after":"1f0c9a77-7","resumed_at":"1f0c9a77-42","certain":true}` + "\n\n"},
		{"gap without after", wire.Message{Op: wire.OpGap, ID: id, Gap: sinceGap, Heartbeat: none}, "event: trivium.gap\nid: 1f0c9a77-42\n" +
			`data: {"reason":"expired","resumed_at":"1f0c9a77-42","certain":false}` + "\n\n"},
		{"error", wire.Message{Op: wire.OpError, ID: id, Problem: problem, Heartbeat: none}, "event: trivium.error\nid: 1f0c9a77-42\n" +
			`data: {"type":"urn:trivium:problem:invalid-parameter","title":"Invalid parameter","status":400,` +
			`"detail":"topic: a\rb","parameter":"topic"}` + "\n\n"},
		{"error with retry and without a position", wire.Message{Op: wire.OpError, Problem: slow, Retry: 3 * time.Second, Heartbeat: none},
			"retry: 3000\nevent: trivium.error\ndata: " + string(slow.AppendJSON(nil)) + "\n\n"},
		{"goaway", wire.Message{Op: wire.OpGoaway, ID: id, Retry: 4 * time.Second, Heartbeat: none},
			"retry: 4000\nevent: trivium.goaway\nid: 1f0c9a77-42\ndata: {\"retry_ms\":4000}\n\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.want, string(tt.message.AppendSSE(nil)))
			d := wire.NewSSEDecoder(strings.NewReader(tt.want), 0)
			e, err := d.Next()
			require.NoError(t, err)
			retry, _ := d.Retry()
			got, err := wire.DecodeSSE(e, retry)
			require.NoError(t, err)
			require.Equal(t, tt.message, got)
			require.Contains(t, wire.SSENames, e.Type)
		})
	}
	atOnce := wire.Message{Op: wire.OpGoaway, ID: id}
	require.Equal(t, "retry: 1\nevent: trivium.goaway\nid: 1f0c9a77-42\ndata: {\"retry_ms\":1}\n\n", string(atOnce.AppendSSE(nil)))
}

func TestDecodeSSE(t *testing.T) {
	for _, v := range eventVectors(t) {
		m, err := wire.DecodeSSE(wire.SSEEvent{ID: v.Event.ID, Data: v.SSEEnvelopeData}, 0)
		require.NoError(t, err)
		require.Empty(t, m.Op)
		require.NotNil(t, m.Event)
	}
	// The data also contains the retry time, because an EventSource does not expose the retry field.
	m, err := wire.DecodeSSE(wire.SSEEvent{Type: "trivium.goaway", Data: `{"retry_ms":7}`}, 0)
	require.NoError(t, err)
	require.Equal(t, 7*time.Millisecond, m.Retry)
	for _, unknown := range []string{"trivium.later", "hello", "message"} {
		m, err := wire.DecodeSSE(wire.SSEEvent{Type: unknown, Data: "x"}, 0)
		require.NoError(t, err)
		require.NotContains(t, []string{"", wire.OpHello}, m.Op, unknown)
	}
	for _, broken := range []wire.SSEEvent{
		{Data: "x"}, {Type: "trivium.gap", Data: "{}"}, {Type: "trivium.error", Data: "x"}, {Type: "trivium.goaway", Data: `{"retry_ms":-1}`},
	} {
		m, err := wire.DecodeSSE(broken, 0)
		require.Error(t, err)
		require.Zero(t, m)
	}
}
