//go:build js

package client

import (
	"context"
	"io"
	"syscall/js"

	"github.com/trivium-hub/trivium/transports/internal/wire"
)

// EventSource implements EventSourcer with the browser's EventSource.
func (browser) EventSource(ctx context.Context, url string) (EventStream, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	constructor := js.Global().Get("EventSource")
	source, err := catchThrown(func() js.Value { return constructor.New(url) })
	if err != nil {
		return nil, err
	}
	s := &pageSource{source: source, queue: newQueue[SSEEvent]()}
	s.on(source, "message", s.event)
	for _, name := range wire.SSENames { // an EventSource cannot listen for all names at once
		s.on(source, name, s.event)
	}
	s.on(source, "error", func(js.Value) {
		switch source.Get("readyState").Int() {
		case constructor.Get("CLOSED").Int():
			s.queue.close(io.EOF)
			s.release()
		case constructor.Get("CONNECTING").Int(): // the browser will reconnect
			s.add(SSEEvent{Type: sourceError})
		}
	})
	s.stopWatching = context.AfterFunc(ctx, s.closeSource)
	return s, nil
}

// pageSource is the browser's EventSource.
type pageSource struct {
	source js.Value
	listeners
	queue        *queue[SSEEvent]
	stopWatching func() bool
}

func (s *pageSource) event(event js.Value) {
	e := SSEEvent{ID: event.Get("lastEventId").String(), Type: event.Get("type").String(), Data: event.Get("data").String()}
	if e.Type == "message" {
		e.Type = "" // an event without a name, as in the stream
	}
	s.add(e)
}

// add queues an event, and closes the source if the queue is full.
func (s *pageSource) add(e SSEEvent) {
	if !s.queue.add(e, len(e.ID)+len(e.Type)+len(e.Data)) {
		s.closeSource()
	}
}

func (s *pageSource) Next(ctx context.Context) (SSEEvent, error) { return s.queue.receive(ctx) }

func (s *pageSource) Close() {
	s.stopWatching()
	s.queue.discard(errClosedLocally)
	s.closeSource()
}

func (s *pageSource) closeSource() {
	s.queue.close(errClosedLocally)
	s.release()
	s.source.Call("close")
}
