package wire_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/internal/wire"
	"github.com/trivium-hub/trivium/transports/problems"
)

// messageVector is a message that the hub sends over WebSocket, and its JSON. Tests encode the message
// and decode the JSON.
type messageVector struct {
	name    string
	message wire.Message
	json    string
}

func messageVectors() []messageVector {
	resumed := hub.Cursor{Epoch: 0x1f0c9a77, Seq: 42}
	gap := &hub.Gap{Reason: hub.GapEpoch, After: "00000000-7", ResumedAt: resumed}
	sinceGap := &hub.Gap{Reason: hub.GapExpired, ResumedAt: resumed, Certain: true}
	line, accepted := 3, 0
	problem := &problems.Problem{
		Code: "too-large", Title: "Too large", Status: 413, Detail: `"a"`, Parameter: "data",
		Line: &line, Accepted: &accepted,
	}
	id := resumed.String()
	internal := problems.Of(errors.New("dial 10.0.0.7: password wrong"))
	return []messageVector{
		{
			"hello", wire.Message{Op: wire.OpHello, ID: id, Session: "b5c0", Heartbeat: 15 * time.Second},
			`{"op":"hello","id":"1f0c9a77-42","session":"b5c0","heartbeat_ms":15000}`,
		}, {
			"heartbeat", wire.Message{Op: wire.OpHeartbeat, ID: id},
			`{"op":"heartbeat","id":"1f0c9a77-42"}`,
		}, {
			"gap", wire.GapMessage(gap),
			`{"op":"gap","id":"1f0c9a77-42","reason":"epoch","after":"00000000-7","resumed_at":"1f0c9a77-42","certain":false}`,
		}, {
			"gap without after", wire.GapMessage(sinceGap),
			`{"op":"gap","id":"1f0c9a77-42","reason":"expired","resumed_at":"1f0c9a77-42","certain":true}`,
		}, {
			"ack with string", wire.Message{Op: wire.OpAck, Ref: wire.Ref(`"r\u00e9"`), ID: id},
			`{"op":"ack","ref":"r\u00e9","id":"1f0c9a77-42"}`,
		}, {
			"ack with number", wire.Message{Op: wire.OpAck, Ref: wire.Ref(`1.50`)},
			`{"op":"ack","ref":1.50}`,
		}, {
			"ack without ref", wire.Message{Op: wire.OpAck, ID: id},
			`{"op":"ack","id":"1f0c9a77-42"}`,
		}, {
			"error", wire.Message{Op: wire.OpError, Ref: wire.Ref(`7`), Problem: problem},
			`{"op":"error","ref":7,"type":"urn:trivium:problem:too-large","title":"Too large","status":413,` +
				`"detail":"\"a\"","parameter":"data","line":3,"accepted":0}`,
		}, {
			"error without ref", wire.Message{Op: wire.OpError, Problem: internal},
			`{"op":"error","type":"urn:trivium:problem:internal","title":"Internal error","status":500}`,
		}, {
			"goaway", wire.Message{Op: wire.OpGoaway, Retry: 2500 * time.Millisecond},
			`{"op":"goaway","retry_ms":2500}`,
		},
	}
}

func TestMessages(t *testing.T) {
	for _, tt := range messageVectors() {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.json, string(tt.message.AppendJSON(nil)))
			got, err := wire.DecodeMessage([]byte(tt.json))
			require.NoError(t, err)
			require.Equal(t, tt.message, got)
		})
	}
}

// The fields of a message over WebSocket differ from its fields over SSE.
func TestMessagesDifferByFormat(t *testing.T) {
	goaway := wire.Message{Op: wire.OpGoaway, ID: "1f0c9a77-42", Retry: time.Second}
	require.Equal(t, `{"op":"goaway","retry_ms":1000}`, string(goaway.AppendJSON(nil)))
	hello := wire.Message{Op: wire.OpHello, ID: "1f0c9a77-42", Session: "s", Heartbeat: time.Second}
	require.Equal(t, "event: trivium.open\nid: 1f0c9a77-42\ndata: {\"session\":\"s\",\"heartbeat_ms\":1000}\n\n",
		string(hello.AppendSSE(nil)), "a message with a session contains the heartbeat interval")
}

func TestDecodeMessage(t *testing.T) {
	for _, v := range eventVectors(t) {
		m, err := wire.DecodeMessage([]byte(v.Envelope))
		require.NoError(t, err)
		require.Empty(t, m.Op)
		requireSameEvent(t, v.event(t), m.Event)
	}

	m, err := wire.DecodeMessage([]byte(` {"new":[1], "op":"later"} `))
	require.NoError(t, err)
	require.Equal(t, wire.Message{Op: "later"}, m)

	for _, tt := range []struct{ name, in, want string }{
		{"empty", "", "one JSON object"},
		{"list", "[]", "one JSON object"},
		{"op not a string", `{"op":1}`, "op"},
		{"neither op nor topic", `{}`, "topic"},
		{"gap without resumed_at", `{"op":"gap","reason":"epoch"}`, "resumed_at"},
		{"gap with a bad resumed_at", `{"op":"gap","resumed_at":"x"}`, "resumed_at"},
		{"error with a bad status", `{"op":"error","status":"x"}`, "problem"},
		{"negative retry", `{"op":"goaway","retry_ms":-1}`, "retry_ms"},
		{"heartbeat that overflows a Duration", `{"op":"hello","heartbeat_ms":9223372036855}`, "heartbeat_ms"},
		{"id not a string", `{"op":"heartbeat","id":1}`, "id"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, err := wire.DecodeMessage([]byte(tt.in))
			require.ErrorContains(t, err, tt.want)
			require.Zero(t, m)
		})
	}
}

func FuzzDecodeMessage(f *testing.F) {
	for _, tt := range messageVectors() {
		f.Add([]byte(tt.json))
	}
	for _, v := range eventVectors(f) {
		f.Add([]byte(v.Envelope))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := wire.DecodeMessage(b)
		switch {
		case err != nil:
			require.Zero(t, m)
		case m.Op == "" && m.Event.Time.Year() >= 0 && m.Event.Time.Year() <= 9999: // RFC 3339 cannot express other years
			again, err := wire.DecodeEnvelope(wire.AppendEnvelope(nil, m.Event))
			require.NoError(t, err)
			requireSameEvent(t, m.Event, again)
		case m.Op == wire.OpGap:
			again, err := wire.DecodeMessage(wire.GapMessage(m.Gap).AppendJSON(nil))
			require.NoError(t, err)
			require.Equal(t, m.Gap, again.Gap)
		}
	})
}

func TestPollAnswer(t *testing.T) {
	vectors := eventVectors(t)[:2]
	events := []*hub.Event{vectors[0].event(t), vectors[1].event(t)}
	gap := &hub.Gap{Reason: hub.GapFuture, After: "1f0c9a77-99", ResumedAt: hub.Cursor{Seq: 1}}
	for _, tt := range []struct {
		name   string
		gap    *hub.Gap
		events []*hub.Event
		want   string
	}{
		{"no events", nil, nil, `{"cursor":"1f0c9a77-42","events":[]}`},
		{"events", nil, events, `{"cursor":"1f0c9a77-42","events":[` + vectors[0].Envelope + `,` + vectors[1].Envelope + `]}`},
		{
			"gap", gap, events[:1], `{"cursor":"1f0c9a77-42","gap":{"reason":"future","after":"1f0c9a77-99",` +
				`"resumed_at":"00000000-1","certain":false},"events":[` + vectors[0].Envelope + `]}`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := wire.AppendPollAnswer(nil, "1f0c9a77-42", tt.gap, tt.events)
			require.Equal(t, tt.want, string(b))
			got, err := wire.DecodePollAnswer(b)
			require.NoError(t, err)
			require.Equal(t, "1f0c9a77-42", got.Cursor)
			require.Equal(t, tt.gap, got.Gap)
			require.Len(t, got.Events, len(tt.events))
			for i, e := range tt.events {
				requireSameEvent(t, e, got.Events[i])
			}
		})
	}
}

func TestPollAnswerRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		events := rapid.SliceOfN(anyEvent(), 0, 5).Draw(t, "events")
		b := wire.AppendPollAnswer(nil, "c", nil, events)
		require.True(t, json.Valid(b))
		got, err := wire.DecodePollAnswer(b)
		require.NoError(t, err)
		require.Len(t, got.Events, len(events))
		for i, e := range events {
			requireSameEvent(t, e, got.Events[i])
		}
	})
}

func TestDecodePollAnswerRefuses(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"empty", ``, "one JSON object"},
		{"no cursor", `{"events":[]}`, "cursor"},
		{"cursor null", `{"cursor":null,"events":[]}`, "cursor"},
		{"events not a list", `{"cursor":"c","events":{}}`, "events"},
		{"bad event", `{"cursor":"c","events":[{"topic":"t"}]}`, "data"},
		{"event not an object", `{"cursor":"c","events":[1]}`, "one JSON object"},
		{"bad gap", `{"cursor":"c","gap":1}`, "gap"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := wire.DecodePollAnswer([]byte(tt.in))
			require.ErrorContains(t, err, tt.want)
		})
	}
}
