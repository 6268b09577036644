package wire

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/internal/jsontest"
)

// vectorInput is the input of a row in the tables of testdata/ingress.
type vectorInput struct {
	In       string `json:"in"`
	InBase64 []byte `json:"in_base64"` // input that is not UTF-8
}

func (v *vectorInput) bytes() []byte {
	if v.InBase64 != nil {
		return v.InBase64
	}
	return []byte(v.In)
}

// vectorEvent is an expected event in the tables of testdata/ingress.
type vectorEvent struct {
	Topic, Type, Key, Encoding, Data string
	DataBase64                       []byte `json:"data_base64"`
}

func (v *vectorEvent) event() *hub.Event {
	e := &hub.Event{Topic: v.Topic, Type: v.Type, Key: v.Key, Data: []byte(v.Data)}
	switch v.Encoding {
	case "text":
		e.Encoding = hub.Text
	case "binary":
		e.Encoding, e.Data = hub.Binary, v.DataBase64
	}
	return e
}

// loadIngress reads a table of testdata/ingress.
func loadIngress[V any](t testing.TB, name string) []V {
	b, err := os.ReadFile(filepath.Join("..", "..", "..", "testdata", "ingress", name))
	require.NoError(t, err)
	var vectors []V
	require.NoError(t, json.Unmarshal(b, &vectors))
	require.NotEmpty(t, vectors)
	return vectors
}

// requireEvent requires that two events have the same topic, type, key, encoding and data. It treats nil
// and empty data as equal.
func requireEvent(t require.TestingT, want, got *hub.Event) {
	require.NotNil(t, got)
	require.Equal(t, want.Topic, got.Topic)
	require.Equal(t, want.Type, got.Type)
	require.Equal(t, want.Key, got.Key)
	require.Equal(t, want.Encoding, got.Encoding)
	require.Equal(t, string(want.Data), string(got.Data))
}

// requireRefused requires that err is a *hub.InvalidError that names the given parameter and has a
// detail.
func requireRefused(t require.TestingT, parameter string, err error) *hub.InvalidError {
	var invalid *hub.InvalidError
	require.ErrorAs(t, err, &invalid)
	require.Equal(t, parameter, invalid.Parameter, "%v", err)
	require.NotEmpty(t, invalid.Detail)
	return invalid
}

type envelopeVector struct {
	Name string
	vectorInput
	Event   *vectorEvent
	Refused string
}

func TestParseEnvelope(t *testing.T) {
	for _, v := range loadIngress[envelopeVector](t, "envelope.json") {
		t.Run(v.Name, func(t *testing.T) {
			e, err := ParseEnvelope(v.bytes())
			if v.Event == nil {
				requireRefused(t, v.Refused, err)
				require.Nil(t, e)
				return
			}
			require.NoError(t, err)
			requireEvent(t, v.Event.event(), e)
		})
	}
}

// drawEvent returns a random event that a publisher might send.
func drawEvent(t *rapid.T) *hub.Event {
	e := &hub.Event{
		Topic:    rapid.String().Draw(t, "topic"),
		Type:     rapid.String().Draw(t, "type"),
		Key:      rapid.String().Draw(t, "key"),
		Encoding: rapid.SampledFrom([]hub.Encoding{hub.JSON, hub.Text, hub.Binary}).Draw(t, "encoding"),
	}
	switch e.Encoding {
	case hub.JSON:
		e.Data = []byte(jsontest.Value(t, 3))
	case hub.Text:
		e.Data = []byte(rapid.String().Draw(t, "text"))
	case hub.Binary:
		e.Data = rapid.SliceOf(rapid.Byte()).Draw(t, "binary")
	}
	return e
}

func TestEnvelopeParsesAsWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := drawEvent(t)
		written := AppendEnvelope(nil, e)
		got, err := ParseEnvelope(written)
		require.NoError(t, err)
		clear(written) // the event must not share memory with the input
		requireEvent(t, e, got)
	})
}

func TestParseEnvelopes(t *testing.T) {
	const a, b = `{"topic":"a","data":1}`, `{"topic":"b","data":2}`
	for _, c := range []struct {
		name, body string
		topics     []string
		refused    string
		detail     string
	}{
		{name: "one envelope", body: " " + a + "\n", topics: []string{"a"}},
		{name: "an array of one envelope", body: "[" + a + "]", topics: []string{"a"}},
		{name: "an array of the maximum length", body: "\n[ " + a + " , " + b + "," + a + " ]", topics: []string{"a", "b", "a"}},
		{name: "an array that is too long", body: "[" + a + "," + a + "," + a + "," + a + "]", refused: "body", detail: "at most 3"},
		{name: "an empty array", body: "[ ]", refused: "body", detail: "at least one"},
		{name: "truncated JSON", body: "[" + a, refused: "body", detail: "unexpected end"},
		{name: "empty body", body: "", refused: "body", detail: "JSON"},
		{name: "an invalid envelope", body: `{"topic":"a","data":1,"key":2}`, refused: "key", detail: "must be a string"},
		{name: "an array with an invalid second envelope", body: "[" + a + `,{"topic":"a"}]`, refused: "data", detail: "index 1"},
		{name: "an array in an array", body: "[[" + a + "]]", refused: "body", detail: "index 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			events, err := ParseEnvelopes([]byte(c.body), 3)
			if c.refused != "" {
				require.Contains(t, requireRefused(t, c.refused, err).Detail, c.detail)
				require.Nil(t, events)
				return
			}
			require.NoError(t, err)
			var topics []string
			for _, e := range events {
				topics = append(topics, e.Topic)
			}
			require.Equal(t, c.topics, topics)
		})
	}
}

func TestParseBody(t *testing.T) {
	for _, c := range []struct {
		contentType, body, data string
		enc                     hub.Encoding
		refused                 string
	}{
		{contentType: "application/json", body: " {\"a\": 1.0}\r\n", data: `{"a": 1.0}`, enc: hub.JSON},
		{contentType: "Application/JSON; Charset=utf-8", body: "1", data: "1", enc: hub.JSON},
		{contentType: "application/json;", body: "{}", data: "{}", enc: hub.JSON},
		{contentType: "application/json; =", body: "{}", data: "{}", enc: hub.JSON},
		{contentType: "application/json", body: "{", refused: "body"},
		{contentType: "application/json", body: "", refused: "body"},
		{contentType: "application/json", body: "\xef\xbb\xbf{}", refused: "body"},
		{contentType: "application/json", body: "\"\xff\"", refused: "body"},
		{contentType: "application/vnd.x+json; v=1", body: " {}", data: "{}", enc: hub.JSON},
		{contentType: "application/Problem+JSON", body: "{", refused: "body"},
		{contentType: "image/x+json", body: " {}", data: " {}", enc: hub.Binary},
		{contentType: "application/x-www-form-urlencoded; charset=UTF-8", body: ` {"a":1}`, data: `{"a":1}`, enc: hub.JSON},
		{contentType: "application/x-www-form-urlencoded", body: "\xff", data: "\xff", enc: hub.Binary},
		{contentType: "text/plain", body: " 1 ", data: " 1 ", enc: hub.Text},
		{contentType: "TEXT/CSV;charset=utf-8", body: "a,é", data: "a,é", enc: hub.Text},
		{contentType: "text/json", body: "{", data: "{", enc: hub.Text},
		{contentType: "text/plain; charset=iso-8859-1", body: "\xe9", refused: "body"},
		{contentType: "application/octet-stream", body: "{}", data: "{}", enc: hub.Binary},
		{contentType: "image/png", body: "\x89PNG", data: "\x89PNG", enc: hub.Binary},
		{contentType: "application/x-www-form-urlencoded", body: "a=1", data: "a=1", enc: hub.Text},
		{contentType: "application/jsonx", body: "1", data: "1", enc: hub.Binary},
		{contentType: "", body: "\n[1]\n", data: "[1]", enc: hub.JSON},
		{contentType: "", body: " hello\n", data: " hello\n", enc: hub.Text},
		{contentType: "", body: "", data: "", enc: hub.Text},
		{contentType: "", body: "\"\xff\"", data: "\"\xff\"", enc: hub.Binary},
		{contentType: "application/", body: "{}", refused: "Content-Type"},
		{contentType: " ", body: "{}", refused: "Content-Type"},
		{contentType: "a b/c", body: "{}", refused: "Content-Type"},
	} {
		t.Run(c.contentType+" "+c.body, func(t *testing.T) {
			body := []byte(c.body)
			data, enc, err := ParseBody(body, c.contentType)
			clear(body) // the data must be a copy
			if c.refused != "" {
				requireRefused(t, c.refused, err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.data, string(data))
			require.Equal(t, c.enc, enc)
		})
	}
}

// encoding/json decodes an accepted envelope to the same values as ParseEnvelope. If the event is encoded
// as an envelope and parsed again, the result is the same event.
func FuzzParseEnvelope(f *testing.F) {
	for _, v := range loadIngress[envelopeVector](f, "envelope.json") {
		f.Add(v.bytes())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := ParseEnvelope(b)
		if err != nil {
			var invalid *hub.InvalidError
			require.ErrorAs(t, err, &invalid)
			return
		}
		var other map[string]json.RawMessage // a map, because it distinguishes names by case; of equal names, the last is used
		require.NoError(t, json.Unmarshal(b, &other))
		var topic string
		require.NoError(t, json.Unmarshal(other["topic"], &topic))
		require.Equal(t, topic, e.Topic)
		switch e.Encoding {
		case hub.JSON:
			require.Equal(t, string(other["data"]), string(e.Data))
		case hub.Text:
			var text string
			require.NoError(t, json.Unmarshal(other["data"], &text))
			require.Equal(t, text, string(e.Data))
		case hub.Binary:
			var text string
			require.NoError(t, json.Unmarshal(other["data_base64"], &text))
			require.Equal(t, text, base64.StdEncoding.EncodeToString(e.Data))
		}
		again, err := ParseEnvelope(AppendEnvelope(nil, e))
		require.NoError(t, err)
		requireEvent(t, e, again)
	})
}
