package transporttest

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/wire"
)

// Patience is how long a Client waits for anything; a test in which it ends has failed.
const Patience = 3 * time.Minute

// Kind says what an Item is.
type Kind string

// The kinds of what a subscriber is told.
const (
	Event     Kind = "event"
	Open      Kind = "open" // the stream begins; its ID is where
	Heartbeat Kind = "heartbeat"
	Gap       Kind = "gap"
	Error     Kind = "error"
	Goaway    Kind = "goaway"
	Close     Kind = "close" // a close frame
)

// Item is one thing that a subscriber is told, whatever the transport.
type Item struct {
	Kind        Kind
	ID          string // where to resume; "" if it says nothing of that
	Topic, Type string // of an event
	Data        string // of an event, as Client.Spell
	Gap         *hub.Gap
	Problem     *wire.Problem // of an error
	Retry       time.Duration // of a goaway
	Code        int           // of a close
}

// Ask is what a Client asks for.
type Ask struct {
	Query       url.Values
	LastEventID string // the header; "": it is sent if EmptyID says so
	EmptyID     bool

	CutAfter int64  // bytes of what the server sends, then the connection is lost; 0: never
	Slow     bool   // take as little as can be unless asked by Next
	Hold     func() // called before each read of the connection, of 1 KiB at most; nil: it reads freely
}

// Query makes an Ask of names and values in turn.
func Query(pairs ...string) Ask {
	q := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		q.Add(pairs[i], pairs[i+1])
	}
	return Ask{Query: q}
}

func (a Ask) header() http.Header {
	h := http.Header{}
	if a.LastEventID != "" || a.EmptyID {
		h.Set("Last-Event-ID", a.LastEventID)
	}
	return h
}

// Client is a subscriber over one Road.
type Client interface {
	// Connect begins. The error is a *Refusal if the hub answered otherwise.
	Connect(Ask) error
	// Next waits for the next item, for Patience. The error is io.EOF at the orderly end.
	Next() (Item, error)
	// Cut drops the connection without a word.
	Cut()
	// Spell gives the event's data as this client gets it.
	Spell(*hub.Event) string
}

// Refusal is an answer that begins no subscription.
type Refusal struct {
	Status  int
	Header  http.Header
	Problem wire.Problem
}

func (r *Refusal) Error() string { return fmt.Sprintf("refused with %d: %v", r.Status, &r.Problem) }

func refusal(response *http.Response) error {
	r := &Refusal{Status: response.StatusCode, Header: response.Header}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if err := r.Problem.UnmarshalJSON(body); err != nil {
		return fmt.Errorf("%d: %w in %q", r.Status, err, body)
	}
	return r
}

// spellEnvelope: an envelope has the data byte for byte.
func spellEnvelope(e *hub.Event) string { return string(e.Data) }

func eventItem(e *hub.Event) Item {
	return Item{Kind: Event, ID: e.ID.String(), Topic: e.Topic, Type: e.Type, Data: string(e.Data)}
}

// Road is one way from the hub to a subscriber.
type Road struct {
	Name   string
	Config Config // what it needs of the Server
	New    func(*Server) Client
}

// Roads gives all there are.
func Roads() []Road {
	direct, portable := Config{}, Config{Portable: true}
	secure, h2c := Config{TLS: true}, Config{H2C: true}
	return []Road{
		{"sse", direct, func(s *Server) Client { return &sseClient{carrier: s.raw("HTTP/1.1")} }},
		{"sse portable", portable, func(s *Server) Client { return &sseClient{carrier: s.raw("HTTP/1.1")} }},
		{"sse envelope", direct, func(s *Server) Client { return &sseClient{carrier: s.raw("HTTP/1.1"), envelope: true} }},
		{"sse CloudEvents", direct, func(s *Server) Client { return &sseClient{carrier: s.raw("HTTP/1.1"), cloudEvents: true} }},
		{"sse HTTP 1.0", direct, func(s *Server) Client { return &sseClient{carrier: s.raw("HTTP/1.0")} }},
		{"sse TLS", secure, func(s *Server) Client { return &sseClient{carrier: s.raw("HTTP/1.1")} }},
		{"sse HTTP 2", secure, func(s *Server) Client { return &sseClient{carrier: &multiplexed{server: s}} }},
		{"sse h2c", h2c, func(s *Server) Client { return &sseClient{carrier: &multiplexed{server: s}} }},
		{"websocket", direct, func(s *Server) Client { return &socketClient{server: s} }},
		{"websocket portable", portable, func(s *Server) Client { return &socketClient{server: s} }},
		{"websocket deflate", Config{Compression: true}, func(s *Server) Client { return &socketClient{server: s, deflate: true} }},
		{"websocket CloudEvents", direct, func(s *Server) Client { return &socketClient{server: s, cloudEvents: true} }},
		{"websocket deflate CloudEvents", Config{Compression: true}, func(s *Server) Client {
			return &socketClient{server: s, deflate: true, cloudEvents: true}
		}},
		{"websocket TLS", secure, func(s *Server) Client { return &socketClient{server: s} }},
		{"poll", direct, func(s *Server) Client { return &pollClient{carrier: s.raw("HTTP/1.1")} }},
		{"poll CloudEvents", direct, func(s *Server) Client { return &pollClient{carrier: s.raw("HTTP/1.1"), cloudEvents: true} }},
		{"poll TLS", secure, func(s *Server) Client { return &pollClient{carrier: s.raw("HTTP/1.1")} }},
		{"poll HTTP 2", secure, func(s *Server) Client { return &pollClient{carrier: &multiplexed{server: s}} }},
	}
}

// Polls reports that the road is a long-poll, whose stream is made of answers: it has no end to
// be told, and never falls behind while it is connected.
func (r Road) Polls() bool { return strings.HasPrefix(r.Name, "poll") }
