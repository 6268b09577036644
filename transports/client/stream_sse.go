package client

import (
	"context"
	"errors"
	"io"

	"github.com/trivium-hub/trivium/transports/internal/wire"
)

// errStreamEnded is the error of a stream that has ended for an unknown reason.
var errStreamEnded = errors.New("the stream ended")

const streamType = "text/event-stream"

// streamSSE reads a stream of server-sent events (docs/protocol.md#server-sent-events).
type streamSSE struct {
	body    io.ReadCloser
	decoder *wire.SSEDecoder
}

func openSSE(ctx context.Context, c *conn, a subscribeParams) (stream, error) {
	q := a.query()
	q = q.with("envelope", "1")
	response, err := c.get(ctx, "/sse", q, streamType, a.cursor)
	if err != nil {
		return nil, err
	}
	if response.Status != 200 || mediaType(response) != streamType {
		return nil, problemOf(response)
	}
	return &streamSSE{
		body:    response.Body,
		decoder: wire.NewSSEDecoder(activityReader{response.Body, c}, wire.DefaultMaxSSEEvent),
	}, nil
}

func (s *streamSSE) next() (message, error) {
	for {
		e, err := s.decoder.Next()
		if errors.Is(err, io.EOF) {
			err = errStreamEnded
		}
		if err != nil {
			return message{}, err
		}
		retry, _ := s.decoder.Retry()
		decoded, err := wire.DecodeSSE(e, retry)
		if err != nil {
			return message{}, err
		}
		if m, ok, err := messageOf(decoded); ok || err != nil {
			return m, err
		}
	}
}

func (s *streamSSE) close() { _ = s.body.Close() }

// activityReader calls conn.markRead each time bytes arrive, because a single message may take a
// long time to arrive.
type activityReader struct {
	io.Reader
	conn *conn
}

func (l activityReader) Read(p []byte) (int, error) {
	n, err := l.Reader.Read(p)
	if n > 0 {
		l.conn.markRead()
	}
	return n, err
}
