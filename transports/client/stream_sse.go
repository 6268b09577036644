package client

import (
	"context"
	"errors"
	"io"

	"github.com/trivium-hub/trivium/transports/wire"
)

// errEnded is the end of a stream without a word.
var errEnded = errors.New("the stream has ended")

const streamType = "text/event-stream"

// streamSSE is a stream of server-sent events (docs/protocol.md#server-sent-events), read as it comes.
type streamSSE struct {
	body    io.ReadCloser
	decoder *wire.SSEDecoder
}

func openSSE(ctx context.Context, c *conn, a ask) (stream, error) {
	q := a.query()
	q = q.with("envelope", "1")
	response, err := c.get(ctx, "/sse", q, streamType, a.cursor)
	if err != nil {
		return nil, err
	}
	if response.Status != 200 || mediaType(response) != streamType {
		return nil, refusal(response)
	}
	return &streamSSE{
		body:    response.Body,
		decoder: wire.NewSSEDecoder(listened{response.Body, c}, wire.DefaultMaxSSEEvent),
	}, nil
}

func (s *streamSSE) next() (message, error) {
	for {
		e, err := s.decoder.Next()
		if errors.Is(err, io.EOF) {
			err = errEnded
		}
		if err != nil {
			return message{}, err
		}
		retry, _ := s.decoder.Retry()
		if m, ok, err := sseMessage(e, retry); ok || err != nil {
			return m, err
		}
	}
}

func (s *streamSSE) close() { _ = s.body.Close() } // a connection that is left has no errors to tell

// listened notes that a connection is alive with each byte, where a message may be long in coming.
type listened struct {
	io.Reader
	conn *conn
}

func (l listened) Read(p []byte) (int, error) {
	n, err := l.Reader.Read(p)
	if n > 0 {
		l.conn.touch()
	}
	return n, err
}
