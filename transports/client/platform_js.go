package client

import (
	"context"
	"errors"
	"strings"
	"sync"
	"syscall/js"
)

// NewPlatform returns the platform of the page, worker or Node.js process in which the program
// runs. It uses fetch, WebSocket and, where available, EventSource (see EventSourcer). Wakes
// reports events of the window, if there is a window.
//
// JavaScript calls callbacks on the page's only thread. A blocked callback would freeze the page,
// so callbacks only store what they receive.
func NewPlatform() Platform {
	if js.Global().Get("EventSource").Type() == js.TypeFunction {
		return browser{}
	}
	return page{}
}

func defaultPlatform() Platform { return NewPlatform() }

type page struct{}

// browser is the platform of a page that has an EventSource.
type browser struct{ page }

// pageOrigin returns the page's origin, or "" if the program was not loaded from a web server but
// by Node.js or from a file.
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

// Wakes implements Platform with the window's events online, visibilitychange and pageshow.
func (page) Wakes() (wakes <-chan Wake, stop func()) {
	window, document := js.Global(), js.Global().Get("document")
	if window.Get("addEventListener").Type() != js.TypeFunction {
		return nil, func() {}
	}
	// A buffer for one value suffices: a second wake-up has no effect, except that WakeNetwork
	// replaces a waiting WakeVisible.
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
	if document.Type() == js.TypeObject { // a worker has no document
		documents.on(document, "visibilitychange", func(js.Value) {
			if document.Get("visibilityState").String() == "visible" {
				wake(WakeVisible)
			}
		})
	}
	return waiting, func() { windows.release(); documents.release() }
}

// listeners are callbacks that are registered with JavaScript objects. They are not
// garbage-collected before release.
type listeners struct {
	mu   sync.Mutex // never held while blocking, because callbacks also lock it
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

// release removes all listeners. A listener may call it, and it may be called more than once.
func (l *listeners) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, one := range l.list {
		one.target.Call("removeEventListener", one.name, one.call)
		one.call.Release()
	}
	l.list = nil
}

// await blocks until a promise settles or ctx ends. If ctx ends first, the caller must make the
// promise settle, because its callbacks are released only when it settles.
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

// catchThrown calls call. If call throws an exception, catchThrown returns it as an error.
func catchThrown(call func() js.Value) (value js.Value, err error) {
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

// scriptError returns an error that contains the name of an exception. It omits the message,
// because some messages contain a URL or a header with the token. On Node.js it adds the error code of the
// exception's cause, such as ECONNREFUSED.
func scriptError(thrown js.Value) error {
	text := "client: " + stringMember(thrown, "name", "error")
	if thrown.Type() == js.TypeObject {
		if code := stringMember(thrown.Get("cause"), "code", ""); code != "" {
			text += " (" + code + ")"
		}
	}
	return errors.New(text)
}

// stringMember returns a member of an object if it is a string, otherwise fallback.
func stringMember(object js.Value, member, fallback string) string {
	if object.Type() == js.TypeObject {
		if value := object.Get(member); value.Type() == js.TypeString {
			return value.String()
		}
	}
	return fallback
}
