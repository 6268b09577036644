//go:build js

package client

import (
	"context"
	"errors"
	"strings"
	"syscall/js"
	"time"
)

// Dial opens a WebSocket of the browser's. A page learns nothing of an answer that refuses it.
func (page) Dial(ctx context.Context, url string, protocols []string) (Socket, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	constructor := js.Global().Get("WebSocket")
	if constructor.Type() != js.TypeFunction {
		return nil, errors.New("client: there is no WebSocket here; Node.js has one from version 22 on")
	}
	offered := make([]any, len(protocols))
	for i, protocol := range protocols {
		offered[i] = protocol
	}
	// Not all browsers take http for ws.
	if rest, found := strings.CutPrefix(url, "http"); found {
		url = "ws" + rest
	}
	ws, err := attempt(func() js.Value { return constructor.New(url, offered) })
	if err != nil {
		return nil, err
	}
	s := &pageSocket{ws: ws, queue: newQueue[string]()}
	outcome := make(chan bool, 1) // of the handshake
	tell := func(opened bool) {
		select {
		case outcome <- opened:
		default: // it was told before
		}
	}
	s.on(ws, "open", func(js.Value) { tell(true) })
	s.on(ws, "error", func(js.Value) { tell(false) }) // a close need not follow, as in Node.js 20
	s.on(ws, "message", s.message)
	s.on(ws, "close", func(event js.Value) {
		s.queue.end(&CloseError{Code: event.Get("code").Int(), Reason: event.Get("reason").String()})
		s.release()
		tell(false)
	})
	select {
	case opened := <-outcome:
		if !opened {
			s.shut(normalClosure, "")
			return nil, errUntold
		}
		return s, nil
	case <-ctx.Done():
		s.Close(normalClosure, "")
		return nil, ctx.Err()
	}
}

const (
	// From firstPageCode to lastPageCode a page may close with a code, and with normalClosure.
	firstPageCode, lastPageCode = 3000, 4999
	// tooSlow is the hub's code for one who falls behind.
	tooSlow        = 4408
	maxCloseReason = 123 // bytes (RFC 6455, section 5.5)
	// maxUnsent is how much a WebSocket may have taken that is still to be sent.
	maxUnsent = 1 << 20 // bytes
	// unsentPause is between two looks at that, since nothing tells when it is less.
	unsentPause = 20 * time.Millisecond
)

// pageSocket is a WebSocket of the browser's.
type pageSocket struct {
	ws js.Value
	listeners
	queue *queue[string]
}

func (s *pageSocket) message(event js.Value) {
	data := event.Get("data")
	if data.Type() != js.TypeString {
		s.queue.end(errors.New("client: a binary message came"))
		s.shut(normalClosure, "text messages only")
		return
	}
	text := data.String()
	if !s.queue.put(text, len(text)) {
		s.shut(tooSlow, "too many messages wait in the page")
	}
}

func (s *pageSocket) Read(ctx context.Context) ([]byte, error) {
	text, err := s.queue.take(ctx)
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
			return errors.New("client: the WebSocket is closed") // send would not say it
		case s.ws.Get("bufferedAmount").Int() < maxUnsent:
			_, err := attempt(func() js.Value { return s.ws.Call("send", string(message)) })
			return err
		}
		select {
		case <-time.After(unsentPause):
		case <-ctx.Done():
		}
	}
}

// Close sends the code if it is one that pages may, 1000 and 3000 to 4999, and 1000 else.
func (s *pageSocket) Close(code int, reason string) {
	s.queue.drop(errLetGo)
	s.shut(code, reason)
}

// shut begins the goodbye, the rest of which is the browser's, and listens no more.
func (s *pageSocket) shut(code int, reason string) {
	s.release()
	if code < firstPageCode || code > lastPageCode {
		code = normalClosure
	}
	reason = strings.ToValidUTF8(reason[:min(len(reason), maxCloseReason)], "")
	// It throws nothing for such a code and reason, closed or not.
	s.ws.Call("close", code, reason)
}
