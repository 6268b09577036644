//go:build js

package main

import "syscall/js"

var (
	document = js.Global().Get("document")
	window   = js.Global()
)

// These functions are not inlined, which saves a tenth of the size of the binary.

//go:noinline
func byID(id string) js.Value { return document.Call("getElementById", id) }

// property is a node's property that is written only when it changes.
type property struct {
	node  js.Value
	name  string
	shown string
	known bool
}

// textOf returns the text property of a node. Everything that the page shows is set as text, so
// that nothing is interpreted as markup.
//
//go:noinline
func textOf(node js.Value) *property { return &property{node: node, name: "textContent"} }

//go:noinline
func (p *property) set(value string) {
	if !p.known || p.shown != value {
		p.shown, p.known = value, true
		p.node.Set(p.name, value)
	}
}

// flag is a boolean property that is written only when it changes.
type flag struct {
	node         js.Value
	name         string
	shown, known bool
}

func (f *flag) set(value bool) {
	if !f.known || f.shown != value {
		f.shown, f.known = value, true
		f.node.Set(f.name, value)
	}
}

// attribute is a node's attribute that is written only when it changes.
type attribute struct {
	node  js.Value
	name  string
	shown string
}

func (a *attribute) set(value string) {
	if a.shown != value {
		a.shown = value
		a.node.Call("setAttribute", a.name, value)
	}
}

// queue passes functions to the main goroutine, because only the main goroutine accesses the page.
// Callbacks of the browser must not block, so they add a function to the queue and return. If the
// queue is full, the function is dropped.
type queue chan func()

func (q queue) add(do func()) {
	select {
	case q <- do:
	default:
	}
}

// on adds a function to the queue whenever the given DOM event occurs at a node. It never releases
// the callback, because the node exists as long as the page.
//
//go:noinline
func (q queue) on(node js.Value, event string, do func()) {
	node.Call("addEventListener", event, js.FuncOf(func(_ js.Value, args []js.Value) any {
		if event == "submit" {
			args[0].Call("preventDefault")
		}
		q.add(do)
		return nil
	}))
}

// clock returns the page's monotonic time in milliseconds.
func clock() float64 { return window.Get("performance").Call("now").Float() }
