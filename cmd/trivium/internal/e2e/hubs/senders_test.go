package hubs

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
	"github.com/trivium-hub/trivium/hub"
)

// The hub publishes the requests of widely used programs with the type, key and data that these programs intend.
func TestRequestsOfCommonSenders(t *testing.T) {
	p := hubtest.Start(t, hubtest.Program(t, nil, hubtest.AnyPorts...))
	socket := p.WebSocket("topic=>")
	var compressed bytes.Buffer
	w := gzip.NewWriter(&compressed)
	_, err := w.Write([]byte("1\n[2]"))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	bearer := http.Header{"Authorization": {"Bearer " + p.Token}}
	for _, c := range []struct {
		name, target string
		header       http.Header
		body         string
		want         []string // type, key, encoding and data
	}{
		{"curl -d", "/publish/x", http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, `{"a":1}`, []string{`  json {"a":1}`}},
		{"a web hook", "/publish/x?type=paid&key=17", http.Header{"Content-Type": {"application/vnd.hook+json"}}, `{"a": 1}`, []string{`paid 17 json {"a": 1}`}},
		{"a log shipper", "/publish/x", http.Header{"Content-Type": {"application/x-ndjson"}, "Content-Encoding": {"gzip"}}, compressed.String(), []string{"  json 1", "  json [2]"}},
		{"PowerShell", "/publish/x", http.Header{"Content-Type": {"text/plain; charset=utf-16"}}, "\xff\xfeh\x00i\x00", []string{"  text hi"}},
	} {
		for name, authorization := range map[string][]string{"Bearer": bearer["Authorization"], "Basic": {"Basic " + hubtest.Basic("hub", p.Token)}} {
			r, err := http.NewRequest(http.MethodPost, "http://"+p.HTTP+c.target, strings.NewReader(c.body))
			require.NoError(t, err)
			r.Header = c.header
			r.Header["Authorization"] = authorization
			response, err := p.Client.Do(r)
			require.NoError(t, err)
			require.NoError(t, response.Body.Close())
			require.Equal(t, http.StatusOK, response.StatusCode, "%s, %s", c.name, name)
			for _, want := range c.want {
				e := p.Message(socket).Event
				encoding := map[hub.Encoding]string{hub.JSON: "json", hub.Text: "text", hub.Binary: "binary"}[e.Encoding]
				require.Equal(t, want, strings.Join([]string{e.Type, e.Key, encoding, string(e.Data)}, " "), c.name)
			}
		}
	}
}
