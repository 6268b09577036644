package wire_test

import (
	"encoding/json"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/internal/wire"
)

func TestEnvelope(t *testing.T) {
	for _, v := range eventVectors(t) {
		t.Run(v.Name, func(t *testing.T) {
			e := v.event(t)
			got := wire.AppendEnvelope([]byte("before"), e)
			require.Equal(t, "before"+v.Envelope, string(got))

			back, err := wire.DecodeEnvelope([]byte(v.Envelope))
			require.NoError(t, err)
			requireSameEvent(t, e, back)
		})
	}
}

func TestEnvelopeRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := anyEvent().Draw(t, "event")
		b := wire.AppendEnvelope(nil, e)
		require.True(t, json.Valid(b) && utf8.Valid(b), "%q", b)
		back, err := wire.DecodeEnvelope(b)
		require.NoError(t, err)
		requireSameEvent(t, e, back)
	})
}

// An embedding program can publish events that the parsers for publishers would refuse. The envelopes of
// such events must still be valid JSON in UTF-8.
func TestEnvelopeOfUncheckedEvent(t *testing.T) {
	for _, tt := range []struct {
		name string
		e    *hub.Event
		want string
	}{
		{"without ID and time", &hub.Event{Topic: "t", Data: []byte("1")}, `{"topic":"t","data":1}`},
		{"no data", &hub.Event{Topic: "t"}, `{"topic":"t","data":null}`},
		{"text that is not UTF-8", &hub.Event{Topic: "t", Encoding: hub.Text, Data: []byte("a\xff\xe2\x82")}, `{"topic":"t","text":true,"data":"a` + "\ufffd\ufffd\ufffd" + `"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.want, string(wire.AppendEnvelope(nil, tt.e)))
		})
	}
	require.Equal(t, "id: 00000000-0\ntopic: t\ndata: null\n\n",
		string(wire.Unchunk(wire.EncodeSSE(&hub.Event{Topic: "t"}))))
}

func TestDecodeEnvelopeAnyOrder(t *testing.T) {
	got, err := wire.DecodeEnvelope([]byte(` { "data" : [ 1 ] , "later": {"topic":"x"}, "Topic":"y",
		"key":"k", "topic" : "\u0074", "time":"2026-01-02T04:04:05+01:00", "id":"1f0c9a77-42", "text":false } `))
	require.NoError(t, err)
	requireSameEvent(t, &hub.Event{
		ID: hub.Cursor{Epoch: 0x1f0c9a77, Seq: 42}, Topic: "t", Key: "k", Data: []byte("[ 1 ]"),
		Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}, got)
}

func TestDecodeEnvelopeRefuses(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"empty", ``, "one JSON object"},
		{"list", `[{"topic":"t","data":1}]`, "one JSON object"},
		{"two objects", `{"topic":"t","data":1}{}`, "one JSON object"},
		{"not UTF-8", "{\"topic\":\"t\",\"data\":\"\xff\"}", "UTF-8"},
		{"no topic", `{"data":1}`, "topic"},
		{"topic null", `{"topic":null,"data":1}`, "topic"},
		{"no data", `{"topic":"t"}`, "data"},
		{"both data", `{"topic":"t","data":1,"data_base64":""}`, "data_base64"},
		{"text that is a number", `{"topic":"t","text":true,"data":1}`, "data"},
		{"text not boolean", `{"topic":"t","text":1,"data":1}`, "text"},
		{"base64 without padding", `{"topic":"t","data_base64":"YQ"}`, "data_base64"},
		{"id", `{"id":"42","topic":"t","data":1}`, "id"},
		{"time", `{"topic":"t","data":1,"time":"yesterday"}`, "time"},
		{"key", `{"topic":"t","data":1,"key":1}`, "key"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := wire.DecodeEnvelope([]byte(tt.in))
			require.ErrorContains(t, err, tt.want)
		})
	}
}
