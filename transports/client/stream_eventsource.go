package client

import (
	"context"
	"errors"
	"io"

	"github.com/trivium-hub/trivium/transports/internal/wire"
)

var errNoEventSource = errors.New("EventSource is available in browser pages only")

// errSourceLost is the error of a stream whose EventSource lost its connection and reconnects. The
// browser hides the cause.
var errSourceLost = errors.New("the EventSource lost its connection")

// sourceError is the type of the event by which a platform reports that its EventSource lost the
// connection. A hub does not accept events of this type (docs/protocol.md#events).
const sourceError = "error"

// streamEventSource reads through a browser's EventSource. The stream ends when the first connection is
// lost, although the EventSource would reconnect by itself. The client reconnects instead, so that it can
// report its state, wait longer after each failure, and send a new ticket, which is valid for one
// connection. An EventSource hides the status of a refused request.
type streamEventSource struct {
	ctx    context.Context
	conn   *conn
	params subscribeParams
	source EventStream
}

func openEventSource(ctx context.Context, c *conn, a subscribeParams) (stream, error) {
	platform, ok := c.client.platform.(EventSourcer)
	if !ok {
		return nil, &FinalError{Err: errNoEventSource}
	}
	q := a.query()
	q = q.with("envelope", "1")
	if a.cursor != "" {
		q = q.with("cursor", a.cursor)
	}
	if token := c.tokenToSend(); token != "" {
		ticket, err := c.ticket(ctx, token)
		switch {
		case err != nil:
			return nil, err
		case ticket != "":
			q = q.with("ticket", ticket)
		default:
			q = q.with("access_token", token)
		}
	}
	source, err := platform.EventSource(ctx, c.client.address("/sse", q))
	if err != nil {
		return nil, err
	}
	return &streamEventSource{ctx: ctx, conn: c, params: a, source: source}, nil
}

func (s *streamEventSource) next() (message, error) {
	for {
		e, err := s.source.Next(s.ctx)
		if errors.Is(err, io.EOF) {
			err = s.findRefusal()
		}
		if err != nil {
			return message{}, err
		}
		if e.Type == sourceError {
			return message{}, errSourceLost
		}
		decoded, err := wire.DecodeSSE(wire.SSEEvent(e), 0)
		if err != nil {
			return message{}, err
		}
		if m, ok, err := messageOf(decoded); ok || err != nil {
			return m, err
		}
	}
}

// findRefusal repeats the request with fetch, to find the status of the refusal, which the
// EventSource hides.
func (s *streamEventSource) findRefusal() error {
	q := s.params.query()
	q = q.with("envelope", "1")
	response, err := s.conn.get(s.ctx, "/sse", q, streamType, s.params.cursor)
	if err != nil {
		return err
	}
	if response.Status != 200 || mediaType(response) != streamType {
		return problemOf(response)
	}
	_ = response.Body.Close() // the hub accepts the request now
	return errStreamEnded
}

func (s *streamEventSource) close() { s.source.Close() }
