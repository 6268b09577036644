//go:build js

package main

import (
	"syscall/js"

	"github.com/trivium-hub/trivium/wasmdemo/app/internal/board"
)

// snippetView is the programs for one's own page.
type snippetView struct {
	page                            *page
	reveal                          js.Value
	eventSource, webSocket, polling *property
	copied                          *property
}

func newSnippetView(p *page) *snippetView {
	v := &snippetView{
		page: p, reveal: byID("reveal"), copied: textOf(byID("copied")),
		eventSource: textOf(byID("snippet-eventsource")), webSocket: textOf(byID("snippet-websocket")),
		polling: textOf(byID("snippet-polling")),
	}
	p.queue.on(v.reveal, "change", v.draw)
	buttons := document.Call("querySelectorAll", "[data-copy]")
	for i := range buttons.Length() {
		button := buttons.Index(i)
		which := button.Get("dataset").Get("copy").String()
		p.queue.on(button, "click", func() { v.copy(which) })
	}
	return v
}

// draw shows them, with the token masked unless it is asked for.
func (v *snippetView) draw() {
	token := v.page.access.get()
	byID("reveal-line").Set("hidden", token == "")
	if token != "" && !v.reveal.Get("checked").Bool() {
		token = board.Mask
	}
	s := board.NewSnippets(v.page.hub.URL, token)
	v.eventSource.set(s.EventSource)
	v.webSocket.set(s.WebSocket)
	v.polling.set(s.Polling)
}

// copy copies one of them whole.
func (v *snippetView) copy(which string) {
	s := board.NewSnippets(v.page.hub.URL, v.page.access.get())
	text := map[string]string{"eventsource": s.EventSource, "websocket": s.WebSocket, "polling": s.Polling}[which]
	said := "Copied."
	if v.page.access.get() != "" {
		said = "Copied, with the token."
	}
	v.copied.set("")
	v.page.running.Go(func() {
		if !writeClipboard(text) {
			said = "The browser does not let this page copy: show the token, and select the text."
		}
		v.page.queue <- func() { v.copied.set(said) }
	})
}

// writeClipboard reports whether it could. The clipboard's own API is only there over TLS and on
// loopback; elsewhere the old way may work.
func writeClipboard(text string) bool {
	clipboard := window.Get("navigator").Get("clipboard")
	if clipboard.IsUndefined() {
		return copySelection(text)
	}
	done := make(chan bool, 1)
	yes := js.FuncOf(func(js.Value, []js.Value) any { done <- true; return nil })
	no := js.FuncOf(func(js.Value, []js.Value) any { done <- false; return nil })
	defer yes.Release()
	defer no.Release()
	clipboard.Call("writeText", text).Call("then", yes, no)
	return <-done || copySelection(text)
}

func copySelection(text string) bool {
	area := document.Call("createElement", "textarea")
	area.Set("value", text)
	area.Set("className", "hide")
	before := document.Get("activeElement")
	document.Get("body").Call("append", area)
	area.Call("select")
	copied := document.Call("execCommand", "copy").Bool()
	area.Call("remove")
	if before.Truthy() {
		before.Call("focus")
	}
	return copied
}
