//go:build js

package main

import (
	"syscall/js"

	"github.com/trivium-hub/trivium/wasmdemo/app/internal/board"
)

// snippetView shows the code snippets for other pages, and the command for a terminal.
type snippetView struct {
	page                                  *page
	reveal                                js.Value
	eventSource, webSocket, polling, curl *property
	copied                                *property
	labels                                map[string]*property // labels of the copy buttons
}

func newSnippetView(p *page) *snippetView {
	v := &snippetView{
		page: p, reveal: byID("reveal"), copied: textOf(byID("copied")),
		eventSource: textOf(byID("snippet-eventsource")), webSocket: textOf(byID("snippet-websocket")),
		polling: textOf(byID("snippet-polling")), curl: textOf(byID("snippet-curl")), labels: map[string]*property{},
	}
	p.queue.on(v.reveal, "change", v.draw)
	buttons := document.Call("querySelectorAll", "[data-copy]")
	for i := range buttons.Length() {
		button := buttons.Index(i)
		which := button.Get("dataset").Get("copy").String()
		v.labels[which] = textOf(button)
		p.queue.on(button, "click", func() { v.copy(which) })
	}
	return v
}

// draw shows the code snippets. The token is masked unless the checkbox is checked.
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
	v.curl.set(s.Curl)
}

// copy copies one of the snippets to the clipboard, with the token.
func (v *snippetView) copy(which string) {
	s := board.NewSnippets(v.page.hub.URL, v.page.access.get())
	text := map[string]string{"eventsource": s.EventSource, "websocket": s.WebSocket, "polling": s.Polling, "curl": s.Curl}[which]
	label, result := "Copied", "Copied."
	if v.page.access.get() != "" {
		result = "Copied, with the token."
	}
	v.copied.set("")
	v.page.running.Go(func() {
		if !writeClipboard(text) {
			label, result = "Not copied", "The browser does not allow this page to copy. Show the token, and select the text."
		}
		v.page.queue <- func() {
			for _, other := range v.labels {
				other.set("Copy")
			}
			v.labels[which].set(label)
			v.copied.set(result)
		}
	})
}

// writeClipboard copies a string to the clipboard and reports whether that succeeded. Browsers
// offer navigator.clipboard only over TLS and on loopback. Elsewhere, writeClipboard tries
// execCommand.
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
