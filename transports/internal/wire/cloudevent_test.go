package wire_test

import (
	"encoding/json"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/internal/wire"
)

func init() {
	encoders["sse-cloudevent"] = wire.CloudEvents{Source: wire.DefaultCloudEventsSource}.EncodeSSE
	encoders["frame-cloudevent"] = wire.CloudEvents{Source: wire.DefaultCloudEventsSource}.EncodeFrame
}

const hubAttributes = `"triviumcursor":"0badcafe-7","triviumtopic":"orders.eu","triviumkey":"k","triviumtime":"2026-11-28T01:02:03.5Z"`

func TestAppendCloudEvent(t *testing.T) {
	id, err := hub.ParseCursor("0badcafe-7")
	require.NoError(t, err)
	begin := `{"specversion":"1.0","id":"0badcafe-7","source":"/hub","type":"paid","subject":"orders.eu","time":"2026-11-28T01:02:03.5Z",` + hubAttributes
	for _, c := range []struct {
		name     string
		encoding hub.Encoding
		data     string
		want     string
	}{
		{"JSON", hub.JSON, `{"total": 1.50}`, begin + `,"datacontenttype":"application/json","data":{"total": 1.50}}`},
		{"no data", hub.JSON, ``, begin + `,"datacontenttype":"application/json","data":null}`},
		{"text", hub.Text, "a\n\"b\"", begin + `,"datacontenttype":"text/plain","data":"a\n\"b\""}`},
		{"binary", hub.Binary, "\xff", begin + `,"datacontenttype":"application/octet-stream","data_base64":"/w=="}`},
		{
			"a CloudEvent", hub.JSON, `{ "specversion":"1.0", "id" : "17","source":"/s","type":"t", "n": 5 ,"x":"\u00e9","data":{ "a" :1.50} }`,
			`{"specversion":"1.0","id":"17","source":"/s","type":"t","n":5,"x":"\u00e9","data":{ "a" :1.50},` + hubAttributes + `}`,
		},
		{
			"a CloudEvent from another hub", hub.JSON,
			`{"specversion":"1.0","id":"17","source":"/s","type":"t","triviumcursor":"x","triviumtopic":"x","triviumkey":"x","triviumtime":"x","triviumx":"x"}`,
			`{"specversion":"1.0","id":"17","source":"/s","type":"t","triviumx":"x",` + hubAttributes + `}`,
		},
		{
			"a CloudEvent with null members", hub.JSON, `{"specversion":"1.0","id":"17","source":"/s","type":"t","subject":null,"x":null,"data_base64":null,"data":null}`,
			`{"specversion":"1.0","id":"17","source":"/s","type":"t","data":null,` + hubAttributes + `}`,
		},
		{
			"a CloudEvent without a type", hub.JSON, `{"specversion":"1.0","id":"17","source":"/s"}`,
			begin + `,"datacontenttype":"application/json","data":{"specversion":"1.0","id":"17","source":"/s"}}`,
		},
		{
			"a CloudEvent published as text", hub.Text, `{"specversion":"1.0","id":"17","source":"/s","type":"t"}`,
			begin + `,"datacontenttype":"text/plain","data":"{\"specversion\":\"1.0\",\"id\":\"17\",\"source\":\"/s\",\"type\":\"t\"}"}`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := &hub.Event{
				ID: id, Topic: "orders.eu", Type: "paid", Key: "k", Time: time.Date(2026, 11, 28, 1, 2, 3, 5e8, time.UTC),
				Data: []byte(c.data), Encoding: c.encoding,
			}
			require.Equal(t, c.want, string(wire.AppendCloudEvent(nil, e, "/hub")))
			_, err := wire.ParseCloudEvent([]byte(c.want))
			require.NoError(t, err)
			events := wire.CloudEvents{Source: "/hub"}
			require.Equal(t, c.want, string(wire.FramePayload(events.EncodeFrame(e))))
			require.Equal(t, "id: 0badcafe-7\ndata: "+c.want+"\n\n", string(wire.Unchunk(events.EncodeSSE(e))))
		})
	}
	without := wire.AppendCloudEvent(nil, &hub.Event{ID: id, Topic: "a", Data: []byte("1")}, "/hub")
	require.Contains(t, string(without), `"type":"message"`)
	require.NotContains(t, string(without), "triviumkey")
}

// If a datagram contains a CloudEvent with a topic, it is not parsed as an envelope, because its other
// attributes would be lost.
func TestCloudEventInDatagram(t *testing.T) {
	f := wire.DatagramFormat{Mode: wire.DatagramAuto, Topic: "events"}
	parse := func(text string) []string {
		events := f.Parse(nil, []byte(text), func(reason string) { t.Error(reason) })
		require.Len(t, events, 1)
		return []string{events[0].Topic, events[0].Type, events[0].Key, string(events[0].Data)}
	}
	whole := `{"specversion":"1.0","id":"17","source":"/s","type":"t","topic":"orders.eu","partitionkey":"k","data":1}`
	require.Equal(t, []string{"orders.eu", "t", "k", whole}, parse(whole))
	half := `{"specversion":"1.0","id":"17","type":"t","topic":"orders.eu","data":1}`
	require.Equal(t, []string{"orders.eu", "t", "", "1"}, parse(half), "JSON without the attribute source must be parsed as an envelope")
	without := `{"specversion":"1.0","id":"17","source":"/s","type":"t","data":1}`
	require.Equal(t, []string{"events", "", "", without}, parse(without))
}

// AppendCloudEvent always returns a valid CloudEvent. If the data is a CloudEvent, the result has the same
// id, source, type and subject.
func FuzzCloudEvent(f *testing.F) {
	f.Add([]byte(`{"specversion":"1.0","id":"17","source":"/s","type":"t","n":5,"x":null,"data":{ "a" :1.50}}`))
	f.Add([]byte(`{"specversion":"1.0","id":"17","source":"urn:x","type":"t","time":"2026-11-28T01:02:03Z","data_base64":"/w=="}`))
	f.Add([]byte(`{"specversion":"0.3"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		in, err := wire.ParseCloudEvent(b)
		e := &hub.Event{Topic: "a", Data: b}
		if err == nil {
			e.Data = in.JSON
		} else if !json.Valid(b) || !utf8.Valid(b) {
			return
		}
		text := wire.AppendCloudEvent(nil, e, "/hub")
		out, outErr := wire.ParseCloudEvent(text)
		require.NoError(t, outErr, "%s", text)
		if err != nil {
			require.Equal(t, "/hub", out.Source)
			return
		}
		require.Equal(t, []string{in.ID, in.Source, in.Type, in.Subject}, []string{out.ID, out.Source, out.Type, out.Subject})
	})
}
