//go:build !js

package client_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/trivium-hub/trivium/transports/client"
	"github.com/trivium-hub/trivium/transports/internal/wire"
)

// eventSourcer is a platform with an EventSource as in the WHATWG HTML standard, section 9.2: after a lost connection,
// it reports an error event and reconnects by itself; an answer that is not a stream ends it.
type eventSourcer struct{ client.Platform }

// EventSource implements client.EventSourcer.
func (p eventSourcer) EventSource(ctx context.Context, url string) (client.EventStream, error) {
	s := &source{platform: p.Platform, url: url, events: make(chan client.SSEEvent), done: make(chan struct{}), retry: 3 * time.Second}
	ctx, s.cancel = context.WithCancel(ctx)
	s.ctx = ctx
	go func() {
		defer close(s.done)
		for s.connect(ctx) {
			if !s.deliver(ctx, client.SSEEvent{Type: "error"}) {
				return
			}
			select {
			case <-time.After(s.retry):
			case <-ctx.Done():
				return
			}
		}
	}()
	return s, nil
}

type source struct {
	platform client.Platform
	url      string
	ctx      context.Context // ends when the source is closed
	cancel   context.CancelFunc
	events   chan client.SSEEvent
	done     chan struct{}

	lastID string
	retry  time.Duration
}

// connect reads one stream, and reports whether the EventSource must reconnect.
func (s *source) connect(ctx context.Context) bool {
	header := map[string]string{"Accept": "text/event-stream"}
	if s.lastID != "" {
		header["Last-Event-ID"] = s.lastID
	}
	response, err := s.platform.Do(ctx, &client.Request{Method: "GET", URL: s.url, Header: header})
	if err != nil {
		return ctx.Err() == nil
	}
	defer response.Body.Close()
	if response.Status != 200 || !strings.HasPrefix(response.Header("Content-Type"), "text/event-stream") {
		return false
	}
	for decoder := wire.NewSSEDecoder(response.Body, 0); ; {
		e, err := decoder.Next()
		if retry, ok := decoder.Retry(); ok {
			s.retry = retry
		}
		if err != nil {
			return ctx.Err() == nil
		}
		s.lastID, e.Topic = e.ID, ""
		if !s.deliver(ctx, client.SSEEvent(e)) {
			return false
		}
	}
}

// deliver passes an event to Next. It returns false if the source was closed.
func (s *source) deliver(ctx context.Context, e client.SSEEvent) bool {
	select {
	case s.events <- e:
		return true
	case <-ctx.Done():
		return false
	}
}

// Next implements client.EventStream.
func (s *source) Next(ctx context.Context) (client.SSEEvent, error) {
	select {
	case e := <-s.events:
		return e, nil
	case <-s.done:
		if s.ctx.Err() != nil {
			return client.SSEEvent{}, errors.New("closed")
		}
		return client.SSEEvent{}, io.EOF
	case <-ctx.Done():
		return client.SSEEvent{}, ctx.Err()
	}
}

// Close implements client.EventStream.
func (s *source) Close() {
	s.cancel()
	<-s.done
}
