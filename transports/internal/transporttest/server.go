package transporttest

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/auth"
	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/internal/connection"
	"github.com/trivium-hub/trivium/transports/internal/intake"
)

// Config configures a Server.
type Config struct {
	Hub            hub.Config
	Engine         func() hub.Engine // returns a new engine for Hub; nil: use Hub.Engine
	Heartbeat      time.Duration     // 0: none
	WriteTimeout   time.Duration     // 0: Patience
	IdleTimeout    time.Duration     // see http.Server; 0: none
	Grant          *auth.Grant       // rights of every request; nil: all rights
	MessageRate    float64           // see websocket.Config
	Intake         *intake.Budget    // limits the memory of WebSocket messages that are being received; nil: no limit
	MessageTimeout time.Duration     // see websocket.Config
	MaxTopics      int               // 0: any number
	Disconnect     bool              // disconnect subscribers that fall behind retention
	Compression    bool              // offer permessage-deflate
	CleanEnd       bool              // terminate every SSE stream cleanly, see sse.Config
	Portable       bool              // disable direct writes
	TLS            bool              // serve HTTP/1.1 and HTTP/2 over TLS
	H2C            bool              // serve HTTP/2 without TLS, for clients with prior knowledge
}

// Server is a hub with the routes /sse, /ws and /poll on a loopback socket.
type Server struct {
	Hub      *hub.Hub
	Registry *connection.Registry
	Token    *Token // the token of every request
	// Addr is the address on which the server listens.
	Addr                 string
	SSE, WebSocket, Poll connection.Counters

	roots *x509.CertPool // root certificates for clients that use TLS; nil: no TLS
}

// CloudEventsSource is the source attribute of events that were not published as CloudEvents.
const CloudEventsSource = "https://hub.example.com/#test"

// newHub returns a hub. If cfg.Engine is set, newHub calls it to create the hub's engine.
func newHub(cfg Config) (*hub.Hub, error) {
	if cfg.Engine != nil {
		cfg.Hub.Engine = cfg.Engine()
	}
	return hub.New(cfg.Hub)
}

// Start runs a Server until the test ends.
func Start(t testing.TB, cfg Config) *Server {
	t.Helper()
	h, err := newHub(cfg)
	for tries := 1; tries < 5 && err != nil && cfg.Engine != nil; tries++ {
		t.Logf("starting another engine: %v", err) // on a busy machine, NATS may not answer for seconds
		h, err = newHub(cfg)
	}
	require.NoError(t, err)
	s := &Server{Hub: h, Registry: connection.NewRegistry(cfg.Heartbeat, 0), Token: NewToken(cmp.Or(cfg.Grant, everything))}
	s.serve(t, Authorized(s.Token, s.routes(cfg)), cfg)
	return s
}

func (s *Server) serve(t testing.TB, routes http.Handler, cfg Config) {
	server := httptest.NewUnstartedServer(routes)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // tests break connections on purpose
	server.Config.IdleTimeout = cfg.IdleTimeout
	server.Listener = &connection.Listener{
		Listener: server.Listener, WriteTimeout: cmp.Or(cfg.WriteTimeout, Patience), Portable: cfg.Portable,
		Registry: s.Registry,
	}
	if cfg.H2C {
		server.Config.Protocols = new(http.Protocols)
		server.Config.Protocols.SetUnencryptedHTTP2(true)
	}
	if cfg.TLS {
		server.EnableHTTP2 = true
		server.TLS = &tls.Config{NextProtos: []string{"h2", "http/1.1"}}
		server.StartTLS()
		s.roots = x509.NewCertPool()
		s.roots.AddCert(server.Certificate())
	} else {
		server.Start()
	}
	s.Addr = server.Listener.Addr().String()
	t.Cleanup(func() {
		s.Registry.Close()
		server.CloseClientConnections()
		server.Close()
		require.NoError(t, s.Hub.Close())
	})
}

// Publish publishes the events one by one, so that their times differ. After each event, it waits until
// the event is in the in-memory log of the hub, because Hub.Publish waits for that only a short time.
func (s *Server) Publish(t testing.TB, events ...*hub.Event) {
	t.Helper()
	for _, e := range events {
		last, err := s.Hub.Publish(context.Background(), e)
		require.NoError(t, err)
		if s.Hub.Position().Seq < last.Seq {
			require.Eventually(t, func() bool { return s.Hub.Position().Seq >= last.Seq }, Patience, time.Millisecond)
		}
	}
}

// JSON returns an event with JSON data.
func JSON(topic, data string) *hub.Event {
	return &hub.Event{Topic: topic, Data: []byte(data)}
}

// Must returns the handler, or panics if its configuration is invalid.
func Must[T any](handler T, err error) T {
	if err != nil {
		panic(err)
	}
	return handler
}
