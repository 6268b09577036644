package transporttest

import (
	"cmp"
	"net/http"
	"strings"

	"github.com/trivium-hub/trivium/transports/longpoll"
	"github.com/trivium-hub/trivium/transports/sse"
	"github.com/trivium-hub/trivium/transports/websocket"
)

// Path is one way from the hub to a subscriber: a transport, an HTTP version and a write path.
type Path struct {
	Name   string
	Config Config // configuration that the Server must have for this path
	New    func(*Server) Client
}

// Paths returns all paths.
func Paths() []Path {
	direct, portable := Config{}, Config{Portable: true}
	secure, h2c := Config{TLS: true}, Config{H2C: true}
	return []Path{
		{"sse", direct, func(s *Server) Client { return &sseClient{carrier: s.http1("HTTP/1.1")} }},
		{"sse portable", portable, func(s *Server) Client { return &sseClient{carrier: s.http1("HTTP/1.1")} }},
		{"sse envelope", direct, func(s *Server) Client { return &sseClient{carrier: s.http1("HTTP/1.1"), envelope: true} }},
		{"sse CloudEvents", direct, func(s *Server) Client { return &sseClient{carrier: s.http1("HTTP/1.1"), cloudEvents: true} }},
		{"sse HTTP 1.0", direct, func(s *Server) Client { return &sseClient{carrier: s.http1("HTTP/1.0")} }},
		{"sse TLS", secure, func(s *Server) Client { return &sseClient{carrier: s.http1("HTTP/1.1")} }},
		{"sse HTTP 2", secure, func(s *Server) Client { return &sseClient{carrier: &http2Carrier{server: s}} }},
		{"sse h2c", h2c, func(s *Server) Client { return &sseClient{carrier: &http2Carrier{server: s}} }},
		{"websocket", direct, func(s *Server) Client { return &socketClient{server: s} }},
		{"websocket portable", portable, func(s *Server) Client { return &socketClient{server: s} }},
		{"websocket deflate", Config{Compression: true}, func(s *Server) Client { return &socketClient{server: s, deflate: true} }},
		{"websocket CloudEvents", direct, func(s *Server) Client { return &socketClient{server: s, cloudEvents: true} }},
		{"websocket deflate CloudEvents", Config{Compression: true}, func(s *Server) Client {
			return &socketClient{server: s, deflate: true, cloudEvents: true}
		}},
		{"websocket TLS", secure, func(s *Server) Client { return &socketClient{server: s} }},
		{"poll", direct, func(s *Server) Client { return &pollClient{carrier: s.http1("HTTP/1.1")} }},
		{"poll CloudEvents", direct, func(s *Server) Client { return &pollClient{carrier: s.http1("HTTP/1.1"), cloudEvents: true} }},
		{"poll TLS", secure, func(s *Server) Client { return &pollClient{carrier: s.http1("HTTP/1.1")} }},
		{"poll HTTP 2", secure, func(s *Server) Client { return &pollClient{carrier: &http2Carrier{server: s}} }},
	}
}

// IsLongPoll reports whether the path uses long-poll. A long-poll client receives a sequence of answers
// instead of one stream, so it receives no message at the end of a stream, and cannot fall behind while
// it is connected.
func (r Path) IsLongPoll() bool { return strings.HasPrefix(r.Name, "poll") }

// routes returns the handlers of all transports.
func (s *Server) routes(cfg Config) http.Handler {
	timeout := cmp.Or(cfg.WriteTimeout, Patience)
	routes := http.NewServeMux()
	routes.Handle("/sse", Must(sse.New(sse.Config{
		Hub: s.Hub, Registry: s.Registry, Counters: &s.SSE, MaxTopics: cfg.MaxTopics,
		WriteTimeout: timeout, Disconnect: cfg.Disconnect, CleanEnd: cfg.CleanEnd, Portable: cfg.Portable, CloudEventsSource: CloudEventsSource,
	})))
	routes.Handle("/ws", Must(websocket.New(websocket.Config{
		Hub: s.Hub, Registry: s.Registry, Counters: &s.WebSocket, MaxTopics: cfg.MaxTopics,
		WriteTimeout: timeout, Disconnect: cfg.Disconnect, Portable: cfg.Portable,
		Intake: cfg.Intake, MessageTimeout: cfg.MessageTimeout, MessageRate: cfg.MessageRate, Compression: cfg.Compression,
		CloudEventsSource: CloudEventsSource,
	})))
	routes.Handle("/poll", Must(longpoll.New(longpoll.Config{
		Hub: s.Hub, Registry: s.Registry, Counters: &s.Poll, MaxTopics: cfg.MaxTopics,
		WriteTimeout: timeout, CloudEventsSource: CloudEventsSource,
	})))
	return routes
}
