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
	Open      Kind = "open" // the start of the stream; its ID is the subscription's position
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
	Topic, Type string // only for an event
	Data        string // only for an event; see Client.ExpectedData
	Gap         *hub.Gap
	Problem     *problems.Problem // only for an error
	Retry       time.Duration     // retry delay of a goaway
	Code        int               // status code of a close frame
}

// Request describes a request of a Client.
type Request struct {
	Query       url.Values
	LastEventID string // value of the header Last-Event-ID; "": no header, unless EmptyID is set
	EmptyID     bool   // send the header Last-Event-ID even if LastEventID is ""

	CutAfter   int64  // number of received bytes after which the client closes the connection; 0: never
	Slow       bool   // use the smallest possible receive buffers
	BeforeRead func() // called before each read, which then reads at most 1 KiB; nil: reads are not throttled
}

// Query returns a Request with query parameters. In pairs, each parameter's name is followed by its
// value.
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
	// Next returns the next item. It waits for the item for at most Patience. If the stream was ended
	// cleanly, Next returns io.EOF.
	Next() (Item, error)
	// Cut closes the connection without a close handshake.
	Cut()
	// ExpectedData returns the Item.Data that this client must receive for an event. It depends on the
	// transport and the format.
	ExpectedData(*hub.Event) string
}

// Refusal is the error of Client.Connect if the hub refused the subscription.
type Refusal struct {
	Status  int
	Header  http.Header
	Problem problems.Problem
}

func (r *Refusal) Error() string {
	return fmt.Sprintf("refused with status %d: %v", r.Status, &r.Problem)
}

func refusal(response *http.Response) error {
	r := &Refusal{Status: response.StatusCode, Header: response.Header}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if err := r.Problem.UnmarshalJSON(body); err != nil {
		return fmt.Errorf("status %d: %w in body %q", r.Status, err, body)
	}
	return r
}

// envelopeData returns the Item.Data that a client must receive for an event if events are sent as
// envelopes.
func envelopeData(e *hub.Event) string { return string(e.Data) }

func eventItem(e *hub.Event) Item {
	return Item{Kind: Event, ID: e.ID.String(), Topic: e.Topic, Type: e.Type, Data: string(e.Data)}
}
