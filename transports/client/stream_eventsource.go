package client

import (
	"context"
	"errors"
	"io"
)

var errNoEventSource = errors.New("EventSource is the browser's own, which there is none of here")

// streamEventSource is a browser's own EventSource. It comes back by itself, which shows as one more
// opened; what it was told of when, it does not tell.
type streamEventSource struct {
	ctx    context.Context
	conn   *conn
	ask    ask
	source EventStream
}

func openEventSource(ctx context.Context, c *conn, a ask) (stream, error) {
	platform, ok := c.client.platform.(EventSourcer)
	if !ok {
		return nil, &FinalError{Err: errNoEventSource}
	}
	q := a.query()
	q = q.with("envelope", "1")
	if a.cursor != "" {
		q = q.with("cursor", a.cursor)
	}
	if token := c.token(); token != "" {
		q = q.with("access_token", token)
	}
	source, err := platform.EventSource(ctx, c.client.address("/sse", q))
	if err != nil {
		return nil, err
	}
	return &streamEventSource{ctx: ctx, conn: c, ask: a, source: source}, nil
}

func (s *streamEventSource) next() (message, error) {
	for {
		e, err := s.source.Next(s.ctx)
		if errors.Is(err, io.EOF) {
			err = s.why()
		}
		if err != nil {
			return message{}, err
		}
		if m, ok, err := sseMessage(e, 0); ok || err != nil {
			return m, err
		}
	}
}

// why asks what an EventSource was not told: the status that has ended it.
func (s *streamEventSource) why() error {
	q := s.ask.query()
	q = q.with("envelope", "1")
	response, err := s.conn.get(s.ctx, "/sse", q, streamType, s.ask.cursor)
	if err != nil {
		return err
	}
	if response.Status != 200 || mediaType(response) != streamType {
		return refusal(response)
	}
	_ = response.Body.Close() // it would be let in now
	return errEnded
}

func (s *streamEventSource) close() { s.source.Close() }
