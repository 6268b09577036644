//go:build js

package client

import (
	"context"
	"io"
	"syscall/js"

	"github.com/trivium-hub/trivium/transports/wire"
)

// sourceNames are the events that an EventSource is asked for: a browser has no way to ask for all.
var sourceNames = []string{
	"message", "trivium.open", "trivium.heartbeat", "trivium.gap", "trivium.error", "trivium.goaway",
}

// EventSource opens one of the browser's.
func (browser) EventSource(ctx context.Context, url string) (EventStream, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	constructor := js.Global().Get("EventSource")
	source, err := attempt(func() js.Value { return constructor.New(url) })
	if err != nil {
		return nil, err
	}
	s := &pageSource{source: source, queue: newQueue[wire.SSEEvent]()}
	for _, name := range sourceNames {
		s.on(source, name, s.event)
	}
	s.on(source, "error", func(js.Value) {
		if source.Get("readyState").Int() == constructor.Get("CLOSED").Int() { // else it tries again
			s.queue.end(io.EOF)
			s.release()
		}
	})
	s.unwatch = context.AfterFunc(ctx, s.shut)
	return s, nil
}

// pageSource is an EventSource of the browser's.
type pageSource struct {
	source js.Value
	listeners
	queue   *queue[wire.SSEEvent]
	unwatch func() bool
}

func (s *pageSource) event(event js.Value) {
	e := wire.SSEEvent{ID: event.Get("lastEventId").String(), Type: event.Get("type").String(), Data: event.Get("data").String()}
	if e.Type == "message" {
		e.Type = "" // as in the stream
	}
	if !s.queue.put(e, len(e.ID)+len(e.Type)+len(e.Data)) {
		s.shut()
	}
}

func (s *pageSource) Next(ctx context.Context) (wire.SSEEvent, error) { return s.queue.take(ctx) }

func (s *pageSource) Close() {
	s.unwatch()
	s.queue.drop(errLetGo)
	s.shut()
}

func (s *pageSource) shut() {
	s.queue.end(errLetGo)
	s.release()
	s.source.Call("close")
}
