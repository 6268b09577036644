package client

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/internal/wire"
)

// stream is an open subscription over one transport. Only one goroutine calls next. Any goroutine may
// call close, and may call it more than once; a blocked next then returns.
type stream interface {
	// next blocks until there is another message. The error is a *Problem if the hub or an
	// intermediary has sent a reason.
	next() (message, error)
	close()
}

// kind is the kind of a message, independent of the transport.
type kind int

const (
	kindProblem  kind = iota // the stream ends after this message
	kindGoaway               // the stream ends after this message; reconnect after retry
	kindOpened               // the subscription has started at position id; the message may contain the first event or gap
	kindEvent                // an event or a gap
	kindPosition             // all matching events up to id were sent: a heartbeat, or the end of a poll's answer
	kindAccepted             // the command ref was accepted
	kindRefused              // the command ref was refused with problem

	firstLiveKind = kindOpened // a message of this kind or a later one is sent only by an open stream
)

type message struct {
	kind      kind
	id        string
	event     Event
	problem   *Problem
	retry     time.Duration // with kindOpened and kindGoaway: delay before reconnecting; 0: not sent
	ref       string
	heartbeat time.Duration // with kindOpened: heartbeat interval; 0: no heartbeats; heartbeatUnknown: not announced
}

const heartbeatUnknown = wire.HeartbeatUnknown

// subscribeParams are the parameters of a subscription.
type subscribeParams struct {
	topics   []string // nil: everything that the token may read; otherwise not empty
	cursor   string   // position to resume at; "": start as last and since specify
	last     int
	since    string // value of the query parameter; "" if unset
	conflate bool
}

// query returns the parameters that are common to all transports, without the cursor.
func (a subscribeParams) query() query {
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

// open opens a stream over the transport of n. ctx applies to the whole life of the stream.
func (n *conn) open(ctx context.Context, a subscribeParams) (stream, error) {
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

// get sends a GET request with the token and the cursor in headers, so that the URL of a
// subscription does not change and a browser sends only one CORS preflight.
func (n *conn) get(ctx context.Context, path string, q query, accept, cursor string) (*Response, error) {
	header := map[string]string{"Accept": accept}
	if token := n.tokenToSend(); token != "" {
		header["Authorization"] = "Bearer " + token
	}
	if cursor != "" {
		header["Last-Event-ID"] = cursor
	}
	own := false
	if tab := n.client.pollTab; tab != "" && path == pollPath {
		q, own = q.with("tab", tab), true
	}
	return n.client.platform.Do(ctx, &Request{Method: "GET", URL: n.client.address(path, q), Header: header, OwnURL: own})
}

// checkID checks an ID against docs/protocol.md#cursors, because the client will send it in a
// header and a URL.
func checkID(id string) error {
	if !hub.IsCursor(id) {
		return errID
	}
	return nil
}

var errID = errors.New("an id must be 1 to 64 of the characters 0-9 A-Z a-z . _ ~ -")

// positionMessage returns a message that contains only a position.
func positionMessage(k kind, id string) (message, error) {
	return message{kind: k, id: id, heartbeat: heartbeatUnknown}, checkID(id)
}

func eventMessage(e *hub.Event) (message, error) {
	if e.ID == (hub.Cursor{}) {
		return message{}, errors.New("received an event without an id")
	}
	id := e.ID.String()
	return message{kind: kindEvent, id: id, event: Event{
		ID: id, Topic: e.Topic, Type: e.Type, Key: e.Key, Time: e.Time, Data: e.Data, Encoding: e.Encoding,
	}}, nil
}

func gapMessage(g *hub.Gap) message {
	id := g.ResumedAt.String()
	return message{kind: kindEvent, id: id, event: Event{ID: id, Gap: g}}
}

func problemMessage(p *Problem, retry time.Duration) message {
	p.RetryAfter = retry
	return message{kind: kindProblem, problem: p}
}

// messageOf converts a decoded message. ok is false for an unknown kind, which the caller skips.
func messageOf(from wire.Message) (m message, ok bool, err error) {
	switch from.Op {
	case "":
		m, err = eventMessage(from.Event)
	case wire.OpHello:
		m, err = positionMessage(kindOpened, from.ID)
		m.heartbeat, m.retry = from.Heartbeat, from.Retry
	case wire.OpHeartbeat:
		m, err = positionMessage(kindPosition, from.ID)
	case wire.OpGap:
		m = gapMessage(from.Gap)
	case wire.OpAck:
		m = message{kind: kindAccepted, ref: string(from.Ref)}
	case wire.OpError:
		m = problemMessage(from.Problem, from.Retry)
		if from.Ref != nil {
			m.kind, m.ref = kindRefused, string(from.Ref)
		}
	case wire.OpGoaway:
		m = message{kind: kindGoaway, retry: from.Retry}
	default:
		return message{}, false, nil
	}
	return m, err == nil, err
}
