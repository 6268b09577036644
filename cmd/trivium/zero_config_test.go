package main

import (
	"bufio"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/auth"
	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/hub/jetstream"
	"github.com/trivium-hub/trivium/transports"
	"github.com/trivium-hub/trivium/transports/client"
	"github.com/trivium-hub/trivium/transports/longpoll"
	"github.com/trivium-hub/trivium/transports/publish"
	"github.com/trivium-hub/trivium/transports/sse"
	"github.com/trivium-hub/trivium/transports/udp"
	"github.com/trivium-hub/trivium/transports/websocket"
)

// TestZeroConfigs checks that each constructor of a public package either accepts the zero value of its
// Config, or returns an error that names the missing field. It also checks some invalid values.
func TestZeroConfigs(t *testing.T) {
	fails := func(_ any, err error) error { return err }
	for name, tc := range map[string]struct {
		err  error
		want string
	}{
		"sse":               {fails(sse.New(sse.Config{})), "Config.Hub is required"},
		"websocket":         {fails(websocket.New(websocket.Config{})), "Config.Hub is required"},
		"longpoll":          {fails(longpoll.New(longpoll.Config{})), "Config.Hub is required"},
		"publish":           {fails(publish.New(publish.Config{})), "Config.Hub is required"},
		"udp":               {fails(udp.Listen(udp.Config{})), "Config.Addr, Format.Topic and Publish are required"},
		"transports":        {fails(transports.New(transports.Config{})), "Config.Hub is required"},
		"jetstream":         {fails(jetstream.New(jetstream.Config{})), "want either a store or a URL"},
		"client":            {fails(client.Connect(t.Context(), client.Config{})), "Config.URL"},
		"jwt":               {fails(auth.NewJWT(auth.JWTConfig{})), "no key to verify tokens with"},
		"negative timeouts": {fails(sse.New(sse.Config{WriteTimeout: -1, Heartbeat: -1})), "Config.Heartbeat must not be negative\nsse: Config.WriteTimeout must not be negative"},
		"negative rate":     {fails(websocket.New(websocket.Config{MessageRate: -1})), "must not be negative"},
		"negative line":     {fails(publish.New(publish.Config{Hub: new(hub.Hub), LineTimeout: -1})), "must not be negative"},
		"negative message":  {fails(transports.New(transports.Config{Hub: new(hub.Hub), MaxMessageBytes: -1})), "must not be negative"},
		"negative budget":   {fails(transports.New(transports.Config{Hub: new(hub.Hub), EncodingBytes: -1})), "Config.EncodingBytes must not be negative"},
		"bad source":        {fails(transports.New(transports.Config{Hub: new(hub.Hub), CloudEventsSource: "a b"})), "CloudEventsSource"},
	} {
		require.ErrorContains(t, tc.err, tc.want, name)
	}
	h, err := hub.New(hub.Config{})
	require.NoError(t, err)
	require.NoError(t, h.Close())
	passed := false
	next := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { passed = true })
	auth.New(auth.Config{}).Wrap(nil)(next).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	require.True(t, passed, "an open hub accepts a request without a token")
}

// TestAdaptersNeedOnlyAHub creates the handlers of all transports with configurations that contain only
// a hub. It checks that events can be published and received through them.
func TestAdaptersNeedOnlyAHub(t *testing.T) {
	h, err := hub.New(hub.Config{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, h.Close()) })
	events, err := sse.New(sse.Config{Hub: h})
	require.NoError(t, err)
	sockets, err := websocket.New(websocket.Config{Hub: h})
	require.NoError(t, err)
	polls, err := longpoll.New(longpoll.Config{Hub: h})
	require.NoError(t, err)
	publisher, err := publish.New(publish.Config{Hub: h})
	require.NoError(t, err)
	routes := http.NewServeMux()
	routes.Handle("/sse", events)
	routes.Handle("/ws", sockets)
	routes.Handle("/poll", polls)
	routes.HandleFunc("/publish", publisher.ServeEnvelopes)
	unprotected := httptest.NewServer(routes)
	t.Cleanup(unprotected.Close)
	protected := httptest.NewServer(auth.New(auth.Config{}).Wrap(nil)(routes))
	t.Cleanup(protected.Close)
	t.Cleanup(events.Close)
	t.Cleanup(sockets.Close)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()

	for _, path := range []string{"/sse", "/poll", "/publish"} {
		method := http.MethodGet
		if path == "/publish" {
			method = http.MethodPost
		}
		request, err := http.NewRequestWithContext(ctx, method, unprotected.URL+path, nil)
		require.NoError(t, err)
		response, err := unprotected.Client().Do(request)
		require.NoError(t, err)
		response.Body.Close()
		require.Equal(t, http.StatusUnauthorized, response.StatusCode, "%s refuses requests without a middleware of auth", path)
	}
	response, err := protected.Client().Post(protected.URL+"/publish", "application/json", strings.NewReader(`{"topic":"a","data":1}`))
	require.NoError(t, err)
	response.Body.Close()
	require.Equal(t, http.StatusOK, response.StatusCode)
	for _, transport := range []client.Transport{client.SSE, client.WebSocket, client.LongPoll} {
		c, err := client.Connect(ctx, client.Config{URL: protected.URL, Transport: transport, Last: 1, OpenTimeout: 2 * time.Minute})
		require.NoError(t, err)
		for e, err := range c.Events(ctx) {
			require.NoError(t, err)
			require.Equal(t, "1", string(e.Data), transport)
			break
		}
		c.Close()
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, protected.URL+"/sse?last=1&format=cloudevents", nil)
	require.NoError(t, err)
	response, err = protected.Client().Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		if strings.Contains(lines.Text(), `"specversion"`) {
			require.Contains(t, lines.Text(), transports.DefaultCloudEventsSource)
			return
		}
	}
	require.Fail(t, "the stream contains a CloudEvent")
}
