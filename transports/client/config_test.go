//go:build !js

package client_test

import (
	"crypto/tls"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/transports/client"
)

// TestConfigNamesEveryFault checks that all faults are reported at once, and that no error contains
// a secret.
func TestConfigNamesEveryFault(t *testing.T) {
	const url = "http://hub.test"
	for name, row := range map[string]struct {
		cfg  client.Config
		want []string
	}{
		"nothing":                    {client.Config{}, []string{"Config.URL: required"}},
		"invalid URL":                {client.Config{URL: "http://%zz/secret"}, []string{"Config.URL: is not a valid URL"}},
		"no scheme":                  {client.Config{URL: "hub.test:3000/secret"}, []string{"Config.URL: must begin with http:// or https://"}},
		"ws":                         {client.Config{URL: "ws://hub.test"}, []string{"Config.URL: must begin with http:// or https://"}},
		"no host":                    {client.Config{URL: "http:///secret"}, []string{"Config.URL: must begin with http:// or https://"}},
		"user":                       {client.Config{URL: "https://user:secret@hub.test"}, []string{"Config.URL: must have no user"}},
		"query":                      {client.Config{URL: url + "?access_token=secret"}, []string{"Config.URL: must have no query"}},
		"empty query":                {client.Config{URL: url + "?"}, []string{"Config.URL: must have no query"}},
		"fragment":                   {client.Config{URL: url + "#secret"}, []string{"Config.URL: must have no query and no fragment"}},
		"transport":                  {client.Config{URL: url, Transport: 9}, []string{"Config.Transport: is not a transport"}},
		"EventSource outside a page": {client.Config{URL: url, Transport: client.EventSource}, []string{"Config.Transport: EventSource is available in browser pages only"}},
		"topic":                      {client.Config{URL: url, Topics: []string{"a", "b..c"}}, []string{"Config.Topics:", "(topic 2 of 2)"}},
		"topics":                     {client.Config{URL: url, Topics: make([]string, 65)}, []string{"Config.Topics:", "at most 64"}},
		"cursor":                     {client.Config{URL: url, Cursor: "not a cursor"}, []string{"Config.Cursor: an id must be"}},
		"long cursor":                {client.Config{URL: url, Cursor: strings.Repeat("a", 65)}, []string{"Config.Cursor: an id must be"}},
		"last":                       {client.Config{URL: url, Last: 1001}, []string{"Config.Last: must be 0 to 1000"}},
		"negative":                   {client.Config{URL: url, Last: -1, Since: -1}, []string{"Config.Last:", "Config.Since:"}},
		"cursor and last":            {client.Config{URL: url, Cursor: "a", Last: 1}, []string{"exclude each other"}},
		"since and last":             {client.Config{URL: url, Since: 1, Last: 1}, []string{"exclude each other"}},
		"two times":                  {client.Config{URL: url, Since: 1, SinceTime: time.Now()}, []string{"exclude each other"}},
		"year":                       {client.Config{URL: url, SinceTime: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)}, []string{"Config.SinceTime: must be"}},
		"durations":                  {client.Config{URL: url, Silence: -1, MaxWait: -1, OpenTimeout: -1}, []string{"Config.Silence:", "Config.MaxWait:", "Config.OpenTimeout:"}},
		"durations too long":         {client.Config{URL: url, Silence: 1<<63 - 1, MaxWait: 25 * time.Hour}, []string{"Config.Silence: must be 0 to 24h", "Config.MaxWait: must be 0 to 24h"}},
		"all together":               {client.Config{URL: "x", Last: -1, MaxWait: -1}, []string{"Config.URL:", "Config.Last:", "Config.MaxWait:"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := client.Connect(t.Context(), row.cfg)
			for _, want := range row.want {
				require.ErrorContains(t, err, want)
			}
			require.NotContains(t, err.Error(), "secret")
		})
	}
}

// TestReplacedDefaultTransport checks that the client works if the program has replaced
// http.DefaultTransport with a wrapper, for example for tracing.
func TestReplacedDefaultTransport(t *testing.T) {
	before := http.DefaultTransport
	defer func() { http.DefaultTransport = before }()
	http.DefaultTransport = struct{ http.RoundTripper }{before}
	r := newRig(t, rigConfig{})
	c, err := client.Connect(t.Context(), client.Config{URL: r.URL})
	require.NoError(t, err)
	defer c.Close()
	r.await(c, liveBy(client.WebSocket))
}

// TestNativePlatforms uses real sockets, first with the default platform, then with a platform
// whose http.Client uses TLS and HTTP/2.
func TestNativePlatforms(t *testing.T) {
	for name, secure := range map[string]bool{"default": false, "own client, TLS": true} {
		t.Run(name, func(t *testing.T) {
			over(t, func(t *testing.T, tr client.Transport) {
				if tr == client.EventSource {
					return // native platforms have no EventSource
				}
				r := newRig(t, rigConfig{TLS: secure})
				cfg := client.Config{URL: r.URL + "//", Transport: tr, Topics: []string{"a"}}
				if secure {
					transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: r.roots}, ForceAttemptHTTP2: true}
					defer transport.CloseIdleConnections()
					cfg.Platform = client.NewPlatform(&http.Client{Transport: transport, Timeout: time.Millisecond}) // the timeout is ignored
				}
				c, err := client.Connect(t.Context(), cfg)
				require.NoError(t, err)
				defer c.Close()
				r.await(c, liveBy(tr))
				time.Sleep(2 * time.Millisecond)
				_, err = c.Publish(t.Context(), client.Event{Topic: "a", Data: []byte("0")})
				require.NoError(t, err)
				r.reader(c).numbers(0, 1)
				require.EqualValues(t, 1, c.Stats().Connects)
				require.NoError(t, c.SetTopics(t.Context(), []string{"a", "b"}))
				c.Reconnect()
				r.publish(1, 10, "a", "b")
				r.reader(c).numbers(1, 10)
				if secure && tr != client.WebSocket {
					require.Equal(t, 2, r.version("/sse", "/poll"))
				}
			})
		})
	}
}
