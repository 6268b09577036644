package client

import (
	"context"
	"errors"
	"strings"
	"sync"
	"syscall/js"
)

// NewPlatform makes the platform of the page, or worker, or Node.js that runs the program: fetch,
// WebSocket and EventSource as they are there. It has an EventSource of its own (EventSourcer)
// where there is one, and wakes where there are a window's events.
//
// JavaScript calls back on its one thread, which waits for the callback: a callback that waited for
// anything would freeze the page, so they only put down what came.
func NewPlatform() Platform {
	if js.Global().Get("EventSource").Type() == js.TypeFunction {
		return browser{}
	}
	return page{}
}

func defaultPlatform() Platform { return NewPlatform() }

type page struct{}

// browser is a page that has an EventSource.
type browser struct{ page }

// pageOrigin is where the page came from, "" where there is none to connect to (Node.js, a file).
func pageOrigin() string {
	location := js.Global().Get("location")
	if location.Type() != js.TypeObject {
		return ""
	}
	if origin := location.Get("origin").String(); strings.HasPrefix(origin, "http") {
		return origin
	}
	return ""
}

// Wakes listens to what a window tells: online, visibilitychange, pageshow.
func (page) Wakes() (wakes <-chan Wake, stop func()) {
	window, document := js.Global(), js.Global().Get("document")
	if window.Get("addEventListener").Type() != js.TypeFunction {
		return nil, func() {}
	}
	// One place is enough: a wake that nobody has taken yet says the same, unless the news is worse.
	waiting := make(chan Wake, 1)
	wake := func(w Wake) {
		if w == WakeNetwork {
			select {
			case <-waiting:
			default:
			}
		}
		select {
		case waiting <- w:
		default:
		}
	}
	var windows, documents listeners
	windows.on(window, "online", func(js.Value) { wake(WakeNetwork) })
	windows.on(window, "pageshow", func(event js.Value) {
		if event.Get("persisted").Truthy() {
			wake(WakeNetwork)
		}
	})
	if document.Type() == js.TypeObject { // a worker has none
		documents.on(document, "visibilitychange", func(js.Value) {
			if document.Get("visibilityState").String() == "visible" {
				wake(WakeVisible)
			}
		})
	}
	return waiting, func() { windows.release(); documents.release() }
}

// listeners are what JavaScript objects call. Until release, none of it can be collected.
type listeners struct {
	mu   sync.Mutex // held for a few steps that wait for nothing, so by callbacks too
	list []listener
}

type listener struct {
	target js.Value
	name   string
	call   js.Func
}

func (l *listeners) on(target js.Value, name string, handle func(event js.Value)) {
	call := js.FuncOf(func(_ js.Value, args []js.Value) any {
		handle(args[0])
		return nil
	})
	target.Call("addEventListener", name, call)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, listener{target, name, call})
}

// release may be called by one of the listeners, and more than once.
func (l *listeners) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, one := range l.list {
		one.target.Call("removeEventListener", one.name, one.call)
		one.call.Release()
	}
	l.list = nil
}

// await waits for a promise. When ctx is done it no longer does; the promise has to be settled by
// other means then, for the functions that wait for it to be let go.
func await(ctx context.Context, promise js.Value) (js.Value, error) {
	var value js.Value
	var err error
	settled := make(chan struct{})
	var fulfilled, rejected js.Func
	release := func() {
		fulfilled.Release()
		rejected.Release()
		close(settled)
	}
	fulfilled = js.FuncOf(func(_ js.Value, args []js.Value) any {
		value = args[0]
		release()
		return nil
	})
	rejected = js.FuncOf(func(_ js.Value, args []js.Value) any {
		err = scriptError(args[0])
		release()
		return nil
	})
	promise.Call("then", fulfilled, rejected)
	select {
	case <-settled:
		return value, err
	case <-ctx.Done():
		return js.Undefined(), ctx.Err()
	}
}

// attempt turns what the call throws into an error.
func attempt(call func() js.Value) (value js.Value, err error) {
	defer func() {
		switch thrown := recover().(type) {
		case nil:
		case js.Error:
			err = scriptError(thrown.Value)
		default:
			panic(thrown)
		}
	}()
	return call(), nil
}

// scriptError names what was thrown. Its message is left out, since some repeat the URL or the
// header that they are about, and so a token; Node.js has a code that says more.
func scriptError(thrown js.Value) error {
	text := "client: " + stringMember(thrown, "name", "error")
	if thrown.Type() == js.TypeObject {
		if code := stringMember(thrown.Get("cause"), "code", ""); code != "" {
			text += " (" + code + ")"
		}
	}
	return errors.New(text)
}

// stringMember is a member that is a string, else another string.
func stringMember(object js.Value, member, otherwise string) string {
	if object.Type() == js.TypeObject {
		if value := object.Get(member); value.Type() == js.TypeString {
			return value.String()
		}
	}
	return otherwise
}
