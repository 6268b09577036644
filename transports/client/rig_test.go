//go:build !js

package client_test

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/auth"
	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/hub/testkit"
	"github.com/trivium-hub/trivium/transports/client"
	"github.com/trivium-hub/trivium/transports/internal/connection"
	tt "github.com/trivium-hub/trivium/transports/internal/transporttest"
	"github.com/trivium-hub/trivium/transports/internal/web"
	"github.com/trivium-hub/trivium/transports/longpoll"
	"github.com/trivium-hub/trivium/transports/problems"
	"github.com/trivium-hub/trivium/transports/publish"
	"github.com/trivium-hub/trivium/transports/sse"
	"github.com/trivium-hub/trivium/transports/websocket"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// everything is a grant with all rights.
var everything = &auth.Grant{
	Subject:   "test",
	Subscribe: hub.NewFilterSet(hub.Everything),
	Publish:   hub.NewFilterSet(hub.Everything),
}

var transports = []client.Transport{client.WebSocket, client.SSE, client.LongPoll, client.EventSource}

// tester is a *testing.T or a *rapid.T.
type tester interface {
	require.TestingT
	Helper()
	Cleanup(func())
}

// rig is a real hub with its real handlers. A test can cut the connections between clients and hub,
// and replace the handler of a route, as a proxy would.
type rig struct {
	// The following fields do not change.

	t        tester
	patience time.Duration
	Hub      *hub.Hub
	Registry *connection.Registry
	URL      string
	roots    *x509.CertPool // root certificates for TLS
	dial     func(context.Context, string, string) (net.Conn, error)
	routes   map[string]http.Handler

	read atomic.Int64 // bytes that the clients have read

	// mu guards the following fields.

	mu          sync.Mutex
	conns       map[*cuttable]struct{}
	unreachable bool // whether new connections are refused
	bytes       int  // maximum size of each read; 0: unlimited
	pause       time.Duration
	proxies     map[string]http.HandlerFunc
	tokens      map[string]*tt.Token // nil: no token is required
	tickets     map[string]string    // key: ticket; value: token
	requests    map[string]int       // number of requests by path
	versions    map[string]int       // HTTP version of the last request, by path
}

// rigConfig configures a rig.
type rigConfig struct {
	Hub       hub.Config
	Heartbeat time.Duration
	Memory    bool // net.Pipe instead of sockets, for synctest
	MaxTopics int
	TLS       bool // use TLS, with HTTP/1.1 and HTTP/2
}

func newRig(t tester, cfg rigConfig) *rig {
	t.Helper()
	h, err := hub.New(cfg.Hub)
	require.NoError(t, err)
	r := &rig{
		t: t, patience: 2 * tt.Patience, Hub: h, Registry: connection.NewRegistry(cfg.Heartbeat, 0),
		conns: map[*cuttable]struct{}{}, proxies: map[string]http.HandlerFunc{}, requests: map[string]int{}, versions: map[string]int{},
	}
	publisher := tt.Must(publish.New(publish.Config{Hub: h}))
	r.routes = map[string]http.Handler{
		"/sse": tt.Must(sse.New(sse.Config{
			Hub: h, Registry: r.Registry, Counters: new(connection.Counters), WriteTimeout: tt.Patience, MaxTopics: cfg.MaxTopics,
		})),
		"/ws": tt.Must(websocket.New(websocket.Config{
			Hub: h, Registry: r.Registry, Counters: new(connection.Counters), WriteTimeout: tt.Patience, MaxTopics: cfg.MaxTopics,
		})),
		"/poll": tt.Must(longpoll.New(longpoll.Config{
			Hub: h, Registry: r.Registry, Counters: new(connection.Counters), WriteTimeout: tt.Patience, MaxTopics: cfg.MaxTopics,
		})),
		"/publish": http.HandlerFunc(publisher.ServeEnvelopes),
	}
	var listener net.Listener
	if cfg.Memory {
		pipes := newPipes()
		listener, r.dial, r.URL = pipes, pipes.dial, "http://hub.test/at"
		r.patience = 24 * time.Hour // a day of the fake clock
	} else {
		listener, err = net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		r.dial, r.URL = new(net.Dialer).DialContext, "http://"+listener.Addr().String()+"/at"
	}
	r.listen(&connection.Listener{Listener: listener, WriteTimeout: tt.Patience, Portable: cfg.Memory, Registry: r.Registry}, cfg.TLS)
	return r
}

// listen serves until the test ends.
func (r *rig) listen(listener net.Listener, secure bool) {
	server := httptest.NewUnstartedServer(http.StripPrefix("/at", http.HandlerFunc(r.serve)))
	require.NoError(r.t, server.Listener.Close())
	server.Listener = listener
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // tests cut connections on purpose
	if secure {
		server.EnableHTTP2 = true
		server.StartTLS()
		r.URL = strings.Replace(r.URL, "http:", "https:", 1)
		r.roots = x509.NewCertPool()
		r.roots.AddCert(server.Certificate())
	} else {
		server.Start()
	}
	r.t.Cleanup(func() {
		r.Registry.Close()
		server.CloseClientConnections()
		server.Close()
		require.NoError(r.t, r.Hub.Close())
	})
}

func (r *rig) serve(w http.ResponseWriter, request *http.Request) {
	path := request.URL.Path
	r.mu.Lock()
	r.requests[path]++
	r.versions[path] = request.ProtoMajor
	proxy := r.proxies[path]
	if path == "/ticket" && proxy == nil {
		proxy = r.issueTicket
	}
	r.mu.Unlock()
	if proxy != nil {
		proxy(w, request)
		return
	}
	r.route(w, request)
}

// route passes a request to the hub.
func (r *rig) route(w http.ResponseWriter, request *http.Request) {
	handler := r.routes[request.URL.Path]
	access, problem := r.admit(request)
	if problem == nil {
		handler.ServeHTTP(w, request.WithContext(auth.WithAccess(request.Context(), access)))
		return
	}
	switch refuser := handler.(type) {
	case interface {
		Refuse(http.ResponseWriter, *http.Request, *problems.Problem)
	}:
		refuser.Refuse(w, request, problem)
	default:
		web.WriteProblem(w, request, problem)
	}
}

// proxy replaces a route; nil restores it.
func (r *rig) proxy(path string, handler http.HandlerFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.proxies[path] = handler
}

// asked returns the number of requests for a path.
func (r *rig) asked(path string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.requests[path]
}

// version compares the HTTP versions of the last request for each of the paths, and returns the highest.
func (r *rig) version(paths ...string) (newest int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, path := range paths {
		newest = max(newest, r.versions[path])
	}
	return newest
}

// platform returns a native platform whose connections the rig can cut.
func (r *rig) platform() client.Platform {
	transport := &http.Transport{DialContext: r.connect, DisableKeepAlives: true}
	return eventSourcer{client.NewPlatform(&http.Client{Transport: transport})}
}

var errRefused = errors.New("connection refused")

func (r *rig) connect(ctx context.Context, network, address string) (net.Conn, error) {
	r.mu.Lock()
	unreachable := r.unreachable
	r.mu.Unlock()
	if unreachable {
		return nil, errRefused
	}
	conn, err := r.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	kept := &cuttable{Conn: conn, rig: r, frozen: make(chan struct{}), closed: make(chan struct{})}
	r.conns[kept] = struct{}{}
	return kept, nil
}

// client connects a client, which is closed when the test ends.
func (r *rig) client(cfg client.Config) *client.Client {
	r.t.Helper()
	cfg.URL = r.URL
	if cfg.Platform == nil {
		cfg.Platform = r.platform()
	}
	c, err := client.Connect(context.Background(), cfg)
	require.NoError(r.t, err)
	r.t.Cleanup(c.Close)
	return c
}

// publish publishes n events, which are numbered consecutively beginning with from. It uses the topics in
// turn.
func (r *rig) publish(from, n int, topics ...string) {
	r.t.Helper()
	for i := from; i < from+n; i++ {
		_, err := r.Hub.Publish(context.Background(), tt.JSON(topics[i%len(topics)], strconv.Itoa(i)))
		require.NoError(r.t, err)
	}
}

// send publishes events.
func (r *rig) send(events ...*hub.Event) {
	r.t.Helper()
	for _, e := range events {
		_, err := r.Hub.Publish(context.Background(), e)
		require.NoError(r.t, err)
	}
}

// bigEvent returns an event with size bytes of data.
func bigEvent(size int) *hub.Event {
	return tt.JSON("big", `"`+strings.Repeat("x", size-2)+`"`)
}

// reader reads events one by one. Each must arrive within rig.patience.
type reader struct {
	r *rig
	c *client.Client
}

func (r *rig) reader(c *client.Client) reader { return reader{r, c} }

func (r reader) next() client.Event {
	r.r.t.Helper()
	e, err := r.try()
	require.NoError(r.r.t, err)
	return e
}

func (r reader) try() (client.Event, error) {
	ctx, cancel := context.WithTimeout(context.Background(), r.r.patience)
	defer cancel()
	for e, err := range r.c.Events(ctx) {
		return e, err
	}
	return client.Event{}, nil
}

// numbers reads n events, which must be numbered consecutively beginning with from.
func (r reader) numbers(from, n int) {
	r.r.t.Helper()
	for i := from; i < from+n; i++ {
		e := r.next()
		require.Nil(r.r.t, e.Gap, "at %d: %+v", i, e.Gap)
		require.Equal(r.r.t, strconv.Itoa(i), string(e.Data))
		require.Equal(r.r.t, e.ID, r.c.Cursor())
	}
}

// await waits for a state.
func (r *rig) await(c *client.Client, wanted func(client.State) bool) client.State {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), r.patience)
	defer cancel()
	for s := range c.States(ctx) {
		if wanted(s) {
			return s
		}
	}
	require.FailNow(r.t, "state not reached", "current state: %+v", c.State())
	return client.State{}
}

func isPhase(p client.Phase) func(client.State) bool {
	return func(s client.State) bool { return s.Phase == p }
}

func liveBy(tr client.Transport) func(client.State) bool {
	return func(s client.State) bool { return s.Phase == client.Live && s.Transport == tr }
}

func contextFor(t *testing.T, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), d)
}
