package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/wire"
)

// stream is an open subscription over one transport. next is called by one goroutine; close by any,
// as often as it likes, and it ends a next that waits.
type stream interface {
	// next waits for the next message. The error is a *Problem if the hub, or what stands between, has
	// said why there are no more.
	next() (message, error)
	close()
}

// kind says what a message is, whatever transport it came by.
type kind int

const (
	problem  kind = iota // the last of a stream
	goaway               // the last of a stream: come back after retry
	opened               // id: where it begins; or the first event, where the place before it is not told
	event                // also a gap
	position             // a heartbeat, or the end of a poll's answer: all that matches up to id came
	accepted             // the answer to a command of ref
	refused              // problem is the answer to a command of ref

	first = opened // of a stream that is live
)

type message struct {
	kind      kind
	id        string
	event     Event
	problem   *Problem
	retry     time.Duration // of opened and goaway: when to come back; 0: nothing was said
	ref       string
	heartbeat time.Duration // of opened: how often one comes; 0: never; unknown: it was not said
}

const unknown = -1

// ask is what a stream is asked for.
type ask struct {
	topics   []string // nil: all that the token may read; never empty otherwise
	cursor   string   // where to resume; "": as last and since say
	last     int
	since    string // as the hub takes it; "": not said
	conflate bool
}

// query gives the parameters that every transport has; the position is left out.
func (a ask) query() query {
	var q query
	for _, topic := range a.topics {
		q = q.with("topic", topic)
	}
	switch {
	case a.cursor != "":
	case a.last > 0:
		q = q.with("last", strconv.Itoa(a.last))
	case a.since != "":
		q = q.with("since", a.since)
	}
	if a.conflate {
		q = q.with("conflate", "key")
	}
	return q
}

// open begins a stream. ctx is for all of its life.
func (n *conn) open(ctx context.Context, a ask) (stream, error) {
	switch n.transport {
	case WebSocket:
		return openSocket(ctx, n, a)
	case SSE:
		return openSSE(ctx, n, a)
	case EventSource:
		return openEventSource(ctx, n, a)
	case LongPoll:
		return openPoll(ctx, n, a), nil
	}
	return nil, &FinalError{Err: fmt.Errorf("%v %w", n.transport, errNoTransport)}
}

// get sends a GET with the token and, if there is one, the cursor in headers: so the URL of a
// subscription stays the same, and a browser asks for CORS leave once.
func (n *conn) get(ctx context.Context, path string, q query, accept, cursor string) (*Response, error) {
	header := map[string]string{"Accept": accept}
	if token := n.token(); token != "" {
		header["Authorization"] = "Bearer " + token
	}
	if cursor != "" {
		header["Last-Event-ID"] = cursor
	}
	own := false
	if tab := n.client.tab; tab != "" && path == pollPath {
		q, own = q.with("tab", tab), true
	}
	return n.client.platform.Do(ctx, &Request{Method: "GET", URL: n.client.address(path, q), Header: header, OwnURL: own})
}

// checkID holds an id to docs/protocol.md#cursors, since it goes into a header and a URL again.
func checkID(id string) error {
	const longest = 64 // bytes
	for i := range len(id) {
		switch c := id[i]; {
		case '0' <= c && c <= '9', 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z':
		case c == '.', c == '_', c == '~', c == '-':
		default:
			return errID
		}
	}
	if id == "" || len(id) > longest {
		return errID
	}
	return nil
}

var errID = errors.New("an id has 1 to 64 of the characters 0-9 A-Z a-z . _ ~ -")

// place makes a message that says where the client stands.
func place(k kind, id string) (message, error) {
	return message{kind: k, id: id, heartbeat: unknown}, checkID(id)
}

func eventMessage(e *hub.Event) (message, error) {
	if e.ID == (hub.Cursor{}) {
		return message{}, errors.New("an event came without an id")
	}
	id := e.ID.String()
	return message{kind: event, id: id, event: Event{
		ID: id, Topic: e.Topic, Type: e.Type, Key: e.Key, Time: e.Time, Data: e.Data, Encoding: e.Encoding,
	}}, nil
}

func gapMessage(g *hub.Gap) message {
	id := g.ResumedAt.String()
	return message{kind: event, id: id, event: Event{ID: id, Gap: g}}
}

func problemMessage(p *Problem, retry time.Duration) message {
	p.RetryAfter = retry
	return message{kind: problem, problem: p}
}

// sseMessage reads an event of a stream that was asked for with envelopes. ok is false if it is of a
// kind that is not known, and to be passed over.
func sseMessage(e wire.SSEEvent, retry time.Duration) (m message, ok bool, err error) {
	switch e.Type {
	case "":
		var decoded *hub.Event
		if decoded, err = wire.DecodeEnvelope([]byte(e.Data)); err == nil {
			m, err = eventMessage(decoded)
		}
	case "trivium.open":
		m, err = place(opened, e.ID)
		m.retry = retry
	case "trivium.heartbeat":
		m, err = place(position, e.ID)
	case "trivium.gap":
		var g *hub.Gap
		if g, err = wire.DecodeGap([]byte(e.Data)); err == nil {
			m = gapMessage(g)
		}
	case "trivium.error":
		p := new(Problem)
		if err = p.UnmarshalJSON([]byte(e.Data)); err == nil {
			m = problemMessage(p, retry)
		}
	case "trivium.goaway":
		m = message{kind: goaway, retry: cmp.Or(retryMember(e.Data), retry)}
	default:
		return message{}, false, nil
	}
	return m, err == nil, err
}

// retryMember reads the data of trivium.goaway, since an EventSource keeps the stream's retry to
// itself; 0 is none.
func retryMember(data string) time.Duration {
	var milliseconds uint64
	err := wire.Members([]byte(data), func(name string, value []byte) (err error) {
		if name == "retry_ms" {
			milliseconds, err = strconv.ParseUint(string(value), 10, 32)
		}
		return err
	})
	if err != nil {
		return 0
	}
	return time.Duration(milliseconds) * time.Millisecond
}
