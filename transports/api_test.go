package transports_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/hub/testkit"
	"github.com/trivium-hub/trivium/transports"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// patience is the timeout for each result that a test waits for.
const patience = 3 * time.Minute

// serve starts a server with an API. listener selects whether the server uses API.Listener.
func serve(t *testing.T, cfg transports.Config, listener bool) (*httptest.Server, *hub.Hub, *transports.API) {
	t.Helper()
	h, err := hub.New(hub.Config{})
	require.NoError(t, err)
	cfg.Hub = h
	api, err := transports.New(cfg)
	require.NoError(t, err)
	server := httptest.NewUnstartedServer(http.StripPrefix("/rt", api))
	if listener {
		server.Listener = api.Listener(server.Listener)
	}
	server.Start()
	t.Cleanup(func() {
		api.Close()
		server.Close()
		require.NoError(t, h.Close())
	})
	return server, h, api
}

// TestMountedAPIServesEveryTransport tests every transport of an API that is mounted under a path prefix,
// over an ordinary listener and over API.Listener.
func TestMountedAPIServesEveryTransport(t *testing.T) {
	for name, listener := range map[string]bool{"ordinary": false, "direct": true} {
		t.Run(name, func(t *testing.T) {
			server, h, api := serve(t, transports.Config{}, listener)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()

			stream, err := http.Get(server.URL + "/rt/sse?topic=a.>")
			require.NoError(t, err)
			defer stream.Body.Close()
			socket, _, err := websocket.Dial(ctx, server.URL+"/rt/ws?topic=a.>", nil)
			require.NoError(t, err)
			defer socket.CloseNow()
			_, hello, err := socket.Read(ctx)
			require.NoError(t, err)
			require.Contains(t, string(hello), `"op":"hello"`)

			answer, err := http.Post(server.URL+"/rt/publish/a.b%2Fc", "application/json", strings.NewReader(`{"n":1}`))
			require.NoError(t, err)
			answer.Body.Close()
			require.Equal(t, http.StatusOK, answer.StatusCode)

			_, message, err := socket.Read(ctx)
			require.NoError(t, err)
			require.Contains(t, string(message), `"topic":"a.b/c"`)
			for lines := bufio.NewScanner(stream.Body); lines.Scan(); {
				if lines.Text() == `data: {"n":1}` {
					break
				}
			}
			poll, err := http.Get(server.URL + "/rt/poll?last=1")
			require.NoError(t, err)
			body, err := io.ReadAll(poll.Body)
			poll.Body.Close()
			require.NoError(t, err)
			require.Contains(t, string(body), `"data":{"n":1}`)
			require.Equal(t, uint64(1), h.Stats().Published)
			require.Positive(t, api.Stats().EncodingBytes)
		})
	}
}

// TestAPIWithoutAuthRefusesForeignPages tests that an API without authentication refuses requests from
// pages of other sites.
func TestAPIWithoutAuthRefusesForeignPages(t *testing.T) {
	server, h, _ := serve(t, transports.Config{}, false)
	for name, header := range map[string]http.Header{
		"foreign origin": {"Origin": {"https://evil.example"}},
		"null origin":    {"Origin": {"null"}},
		"cross-site":     {"Sec-Fetch-Site": {"cross-site"}},
	} {
		r, err := http.NewRequest(http.MethodPost, server.URL+"/rt/publish/a", strings.NewReader(`1`))
		require.NoError(t, err)
		r.Header = header
		answer, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		answer.Body.Close()
		require.Equal(t, http.StatusForbidden, answer.StatusCode, name)
	}
	r, err := http.NewRequest(http.MethodGet, server.URL+"/rt/poll?wait=0", nil)
	require.NoError(t, err)
	r.Host = "rebound.example"
	answer, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	answer.Body.Close()
	require.Equal(t, http.StatusMisdirectedRequest, answer.StatusCode)
	require.Zero(t, h.Stats().Published)
}

// TestRightsThatExpireEndTheConnection tests that a stream ends when its user's rights expire.
func TestRightsThatExpireEndTheConnection(t *testing.T) {
	var life atomic.Int64
	server, _, _ := serve(t, transports.Config{
		Authorize: func(*http.Request) (*transports.Rights, error) {
			return &transports.Rights{Subject: "u", Subscribe: []string{"a"}, Expires: time.Now().Add(time.Duration(life.Load()))}, nil
		},
	}, false)
	life.Store(int64(-time.Second))
	answer, err := http.Get(server.URL + "/rt/poll?wait=0")
	require.NoError(t, err)
	answer.Body.Close()
	require.Equal(t, http.StatusUnauthorized, answer.StatusCode)
	var stream *http.Response
	for lasts := 500 * time.Millisecond; ; lasts *= 4 { // on a busy machine, the rights may expire before the stream begins
		life.Store(int64(lasts))
		stream, err = http.Get(server.URL + "/rt/sse")
		require.NoError(t, err)
		defer stream.Body.Close()
		if stream.StatusCode == http.StatusOK {
			break
		}
		require.Less(t, lasts, patience)
	}
	body, _ := io.ReadAll(stream.Body) // returns when the hub ends the stream
	require.Contains(t, string(body), "event: trivium.error")
}

// TestAuthCommandIsRefusedWithConfigAuthorize tests that, if Config.Authorize determines the rights, a
// WebSocket client cannot gain rights by sending a token, whatever the token contains.
func TestAuthCommandIsRefusedWithConfigAuthorize(t *testing.T) {
	server, _, _ := serve(t, transports.Config{
		Authorize: func(*http.Request) (*transports.Rights, error) {
			return &transports.Rights{Subject: "u", Subscribe: []string{"a"}}, nil
		},
	}, false)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	socket, _, err := websocket.Dial(ctx, server.URL+"/rt/ws?topic=a", nil)
	require.NoError(t, err)
	defer socket.CloseNow()
	for _, message := range []string{`{"op":"auth","token":"x","ref":1}`, `{"op":"subscribe","topic":"b","ref":2}`, `{"op":"publish","topic":"a","data":1,"ref":3}`} {
		require.NoError(t, socket.Write(ctx, websocket.MessageText, []byte(message)))
	}
	for refused := 0; refused < 3; {
		_, text, err := socket.Read(ctx)
		require.NoError(t, err)
		require.NotContains(t, string(text), `"op":"ack"`)
		if strings.Contains(string(text), `"op":"error"`) {
			refused++
		}
	}
}

func TestStartingAPIAnswersUnavailable(t *testing.T) {
	api, err := transports.NewStarting(transports.Config{})
	require.NoError(t, err)
	defer api.Close()
	for _, path := range []string{"/sse", "/poll", "/publish", "/publish/a", "/session"} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}))
		r.Host = "localhost"
		api.ServeHTTP(w, r)
		require.Equal(t, http.StatusServiceUnavailable, w.Code, path)
		require.NotEmpty(t, w.Header().Get("Retry-After"), path)
	}
	w := httptest.NewRecorder()
	api.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/other", nil))
	require.Equal(t, http.StatusNotFound, w.Code)
}

func TestConfigFaultsAreErrors(t *testing.T) {
	_, err := transports.New(transports.Config{})
	require.ErrorContains(t, err, "Config.Hub is required")
	h, err := hub.New(hub.Config{})
	require.NoError(t, err)
	defer h.Close()
	_, err = transports.New(transports.Config{Hub: h, Heartbeat: -1, Hosts: []string{"no host"}})
	require.ErrorContains(t, err, "Config.Heartbeat must not be negative")
	_, err = transports.New(transports.Config{Hub: h, Hosts: []string{"no host"}})
	require.ErrorContains(t, err, "Config.Hosts")
}

// TestDrainClosesSubscribers tests that Drain ends all subscriptions.
func TestDrainClosesSubscribers(t *testing.T) {
	server, _, api := serve(t, transports.Config{}, true)
	stream, err := http.Get(server.URL + "/rt/sse")
	require.NoError(t, err)
	defer stream.Body.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	api.Drain(ctx, 10*time.Millisecond)
	require.True(t, api.IsDraining())
	body, _ := io.ReadAll(stream.Body)
	require.Contains(t, string(body), "trivium.open")
}
