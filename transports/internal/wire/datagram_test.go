package wire

import (
	"bytes"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/hub/jsonscan"
	"github.com/trivium-hub/trivium/transports/internal/jsontest"
)

type datagramVector struct {
	Name   string
	Format struct {
		Mode       string
		TopicField string `json:"topic_field"`
		TypeField  string `json:"type_field"`
	}
	vectorInput
	Events  []vectorEvent
	Refused []string
}

func (v *datagramVector) format(t testing.TB) *DatagramFormat {
	f := &DatagramFormat{Topic: "events", TopicField: v.Format.TopicField, TypeField: v.Format.TypeField}
	if v.Format.Mode != "" {
		var err error
		f.Mode, err = ParseDatagramMode(v.Format.Mode)
		require.NoError(t, err)
	}
	require.NoError(t, f.Validate())
	return f
}

func TestDatagram(t *testing.T) {
	for _, v := range loadIngress[datagramVector](t, "datagram.json") {
		t.Run(v.Name, func(t *testing.T) {
			before := []*hub.Event{{Topic: "before"}}
			var refused []string
			datagram := v.bytes()
			events := v.format(t).Parse(before, datagram, func(reason string) { refused = append(refused, reason) })
			clear(datagram) // the source reuses the buffer for its next datagram
			require.Same(t, before[0], events[0])
			require.Len(t, events[1:], len(v.Events))
			for i := range v.Events {
				requireEvent(t, v.Events[i].event(), events[1+i])
			}
			require.Equal(t, v.Refused, refused)
		})
	}
}

// Each valid line becomes an event, in order and byte for byte, even if other lines are refused.
func TestDatagramOfLines(t *testing.T) {
	format := &DatagramFormat{Mode: DatagramJSON, Topic: "events"}
	rapid.Check(t, func(t *rapid.T) {
		var datagram []byte
		var want []string
		bad := 0
		for range rapid.IntRange(2, 6).Draw(t, "lines") {
			line := rapid.OneOf(
				rapid.Custom(func(t *rapid.T) string { return jsontest.Value(t, 2) }),
				rapid.SampledFrom([]string{"x", `{"a"}`, "\"\xff\"", "1 2"}),
			).Filter(func(s string) bool { return !bytes.ContainsAny([]byte(s), "\n") }).Draw(t, "line")
			if jsonscan.Valid([]byte(line)) {
				want = append(want, line)
			} else {
				bad++
			}
			datagram = append(append(datagram, line...), rapid.SampledFrom([]string{"\n", "\r\n", "\n\n", " \n\t"}).Draw(t, "end")...)
		}
		var got []string
		refused := 0
		for _, e := range format.Parse(nil, datagram, func(string) { refused++ }) {
			got = append(got, string(e.Data))
		}
		require.Equal(t, want, got)
		require.Equal(t, bad, refused)
	})
}

func TestDatagramFormatValidate(t *testing.T) {
	for _, c := range []struct {
		format  DatagramFormat
		refused string
	}{
		{DatagramFormat{Topic: "a.b", TopicField: "x", TypeField: "x.y"}, ""},
		{DatagramFormat{}, "topic"},
		{DatagramFormat{Topic: "a.*"}, "topic"},
		{DatagramFormat{Topic: "a", TopicField: "."}, "topic-field"},
		{DatagramFormat{Topic: "a", TypeField: "x..y"}, "type-field"},
		{DatagramFormat{Topic: "a", TypeField: "x."}, "type-field"},
	} {
		if err := c.format.Validate(); c.refused == "" {
			require.NoError(t, err)
		} else {
			requireRefused(t, c.refused, err)
		}
	}
	for s, want := range map[string]DatagramMode{"auto": DatagramAuto, "json": DatagramJSON, "raw": DatagramRaw, "syslog": DatagramSyslog} {
		mode, err := ParseDatagramMode(s)
		require.NoError(t, err)
		require.Equal(t, want, mode)
	}
	_, err := ParseDatagramMode("JSON")
	require.ErrorContains(t, err, "auto, json, raw or syslog")
}

func TestRefusalReason(t *testing.T) {
	for _, c := range []struct {
		event  *hub.Event
		reason string
	}{
		{&hub.Event{Topic: "a b"}, RefusedTopic},
		{&hub.Event{Topic: "a", Type: "open"}, RefusedType},
		{&hub.Event{Topic: "a", Key: "\n"}, RefusedType},
		{&hub.Event{Topic: "a", Data: make([]byte, 11)}, RefusedTooLarge},
	} {
		require.Equal(t, c.reason, RefusalReason(c.event.Validate(10)))
	}
	require.Equal(t, RefusedMalformed, RefusalReason(errors.New("x")))
	require.Equal(t, RefusedMalformed, RefusalReason(badInput("data", "x")))
}

// Every datagram yields at least one event or refusal. The data of a JSON event is an unchanged part of
// the datagram.
func FuzzDatagram(f *testing.F) {
	for _, v := range loadIngress[datagramVector](f, "datagram.json") {
		f.Add(uint8(v.format(f).Mode), v.Format.TopicField, v.Format.TypeField, v.bytes())
	}
	f.Fuzz(func(t *testing.T, mode uint8, topicField, typeField string, datagram []byte) {
		format := DatagramFormat{Mode: DatagramMode(mode % 4), Topic: "events", TopicField: topicField, TypeField: typeField}
		refused := 0
		events := format.Parse(nil, datagram, func(reason string) {
			require.Contains(t, []string{RefusedMalformed, RefusedTopic, RefusedType}, reason)
			refused++
		})
		require.Positive(t, len(events)+refused)
		for _, e := range events {
			if e.Encoding == hub.JSON {
				require.True(t, jsonscan.Valid(e.Data))
				require.True(t, bytes.Contains(datagram, e.Data))
				require.Equal(t, jsonscan.Trim(e.Data), e.Data)
			}
			require.LessOrEqual(t, len(e.Data), len(datagram))
		}
	})
}
