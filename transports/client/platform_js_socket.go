//go:build js

package client

import (
	"context"
	"errors"
	"strings"
	"syscall/js"
	"time"
)

// Dial implements Platform with the browser's WebSocket. A page cannot see the answer to a refused handshake.
func (page) Dial(ctx context.Context, url string, protocols []string) (Socket, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	constructor := js.Global().Get("WebSocket")
	if constructor.Type() != js.TypeFunction {
		return nil, errors.New("client: no WebSocket available; Node.js has one since version 22")
	}
	offered := make([]any, len(protocols))
	for i, protocol := range protocols {
		offered[i] = protocol
	}
	// Some browsers accept only ws and wss, not http and https.
	if rest, found := strings.CutPrefix(url, "http"); found {
		url = "ws" + rest
	}
	ws, err := catchThrown(func() js.Value { return constructor.New(url, offered) })
	if err != nil {
		return nil, err
	}
	s := &pageSocket{ws: ws, queue: newQueue[string]()}
	outcome := make(chan bool, 1) // receives the outcome of the handshake
	report := func(opened bool) {
		select {
		case outcome <- opened:
		default: // already reported
		}
	}
	s.on(ws, "open", func(js.Value) { report(true) })
	s.on(ws, "error", func(js.Value) { report(false) }) // needed because Node.js 20 fires no close event for a failed handshake
	s.on(ws, "message", s.message)
	s.on(ws, "close", func(event js.Value) {
		s.queue.close(&CloseError{Code: event.Get("code").Int(), Reason: event.Get("reason").String()})
		s.release()
		report(false)
	})
	select {
	case opened := <-outcome:
		if !opened {
			s.closeSocket(normalClosure, "")
			return nil, errHandshakeHidden
		}
		return s, nil
	case <-ctx.Done():
		s.Close(normalClosure, "")
		return nil, ctx.Err()
	}
}

const (
	// The close codes that a page may use, besides normalClosure.
	firstPageCode, lastPageCode = 3000, 4999
	// closeTooSlow is the hub's close code for a subscriber that falls behind.
	closeTooSlow   = 4408
	maxCloseReason = 123 // bytes (RFC 6455, section 5.5)
	// maxUnsent is the maximum number of bytes that wait in the WebSocket to be sent.
	maxUnsent = 1 << 20 // bytes
	// unsentPause is the interval at which the number of unsent bytes is checked, because no event
	// reports it.
	unsentPause = 20 * time.Millisecond
)

// pageSocket is the browser's WebSocket.
type pageSocket struct {
	ws js.Value
	listeners
	queue *queue[string]
}

func (s *pageSocket) message(event js.Value) {
	data := event.Get("data")
	if data.Type() != js.TypeString {
		s.queue.close(errors.New("client: received a binary message"))
		s.closeSocket(normalClosure, "text messages only")
		return
	}
	text := data.String()
	if !s.queue.add(text, len(text)) {
		s.closeSocket(closeTooSlow, "too many messages wait in the page")
	}
}

func (s *pageSocket) Read(ctx context.Context) ([]byte, error) {
	text, err := s.queue.receive(ctx)
	if err != nil {
		return nil, err
	}
	return []byte(text), nil
}

func (s *pageSocket) Write(ctx context.Context, message []byte) error {
	for {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case s.ws.Get("readyState").Int() != js.Global().Get("WebSocket").Get("OPEN").Int():
			return errors.New("client: the WebSocket is closed") // send would not report this error
		case s.ws.Get("bufferedAmount").Int() < maxUnsent:
			_, err := catchThrown(func() js.Value { return s.ws.Call("send", string(message)) })
			return err
		}
		select {
		case <-time.After(unsentPause):
		case <-ctx.Done():
		}
	}
}

// Close closes the WebSocket with the code if pages may use it (1000 and 3000 to 4999), otherwise
// with 1000.
func (s *pageSocket) Close(code int, reason string) {
	s.queue.discard(errClosedLocally)
	s.closeSocket(code, reason)
}

// closeSocket starts the close handshake, which the browser completes, and removes the listeners.
func (s *pageSocket) closeSocket(code int, reason string) {
	s.release()
	if code < firstPageCode || code > lastPageCode {
		code = normalClosure
	}
	reason = strings.ToValidUTF8(reason[:min(len(reason), maxCloseReason)], "")
	// With a code and a reason that are allowed, the JavaScript function close throws no exception,
	// even if the WebSocket is already closed.
	s.ws.Call("close", code, reason)
}
