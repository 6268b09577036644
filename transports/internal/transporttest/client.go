package transporttest

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/problems"
)

// Patience is the timeout of every wait of a Client. A test fails if it expires.
const Patience = 3 * time.Minute

// Kind is the kind of an Item.
type Kind string

// Kinds of items that a subscriber receives.
const (
	Event     Kind = "event"
	Open      Kind = "open" // the start of the stream; its ID is the position
	Heartbeat Kind = "heartbeat"
	Gap       Kind = "gap"
	Error     Kind = "error"
	Goaway    Kind = "goaway"
	Close     Kind = "close" // a WebSocket close frame
)

// Item is an event or control message, independent of the transport.
type Item struct {
	Kind        Kind
	ID          string // position to resume from; "" if the item has none
	Topic, Type string // topic and type of an event
	Data        string // data of an event; see Client.ExpectedData
	Gap         *hub.Gap
	Problem     *problems.Problem // problem of an error
	Retry       time.Duration     // delay in a goaway
	Code        int               // code of a close frame
}

// Request describes a request of a Client.
type Request struct {
	Query       url.Values
	LastEventID string // the header Last-Event-ID; if "", it is sent only if EmptyID is set
	EmptyID     bool

	CutAfter   int64  // number of bytes from the server after which the connection is closed; 0: never
	Slow       bool   // the client has the smallest receive buffers
	BeforeRead func() // called before each read of at most 1 KiB; nil: unthrottled reads
}

// Query returns a Request with query parameters. pairs are their names and values.
func Query(pairs ...string) Request {
	q := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		q.Add(pairs[i], pairs[i+1])
	}
	return Request{Query: q}
}

func (a Request) header() http.Header {
	h := http.Header{}
	if a.LastEventID != "" || a.EmptyID {
		h.Set("Last-Event-ID", a.LastEventID)
	}
	return h
}

// Client is a subscriber over one Path.
type Client interface {
	// Connect starts a subscription. The error is a *Refusal if the hub refused it.
	Connect(Request) error
	// Next blocks until there is another item, for at most Patience. At the regular end of the
	// stream, the error is io.EOF.
	Next() (Item, error)
	// Cut closes the connection without a close handshake.
	Cut()
	// ExpectedData returns the data of an event in the format in which this client receives it.
	ExpectedData(*hub.Event) string
}

// Refusal is the error for an answer that refuses a subscription.
type Refusal struct {
	Status  int
	Header  http.Header
	Problem problems.Problem
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

// envelopeData returns the data of an event in the format of an envelope.
func envelopeData(e *hub.Event) string { return string(e.Data) }

func eventItem(e *hub.Event) Item {
	return Item{Kind: Event, ID: e.ID.String(), Topic: e.Topic, Type: e.Type, Data: string(e.Data)}
}
