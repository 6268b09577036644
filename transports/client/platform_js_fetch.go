//go:build js

package client

import (
	"context"
	"fmt"
	"io"
	"syscall/js"
)

// unseenRedirect is the status of every redirect: a page may not follow it and see it.
const unseenRedirect = 302

// Do sends a request by fetch. Redirects are answers like any other, as natively.
func (page) Do(ctx context.Context, request *Request) (*Response, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	header := make(map[string]any, len(request.Header))
	for name, value := range request.Header {
		header[name] = value
	}
	controller := js.Global().Get("AbortController").New()
	options := map[string]any{
		"method": request.Method, "headers": header, "signal": controller.Get("signal"),
		"credentials": "same-origin", "redirect": "manual",
	}
	if request.Method == "GET" && !request.OwnURL {
		// For the cache, Chromium queues requests for one URL. With this it does not, but asks for CORS
		// leave each time.
		options["cache"] = "no-store"
	}
	if request.Body != nil {
		body := js.Global().Get("Uint8Array").New(len(request.Body))
		js.CopyBytesToJS(body, request.Body)
		options["body"] = body
	}
	answer, err := await(ctx, js.Global().Call("fetch", request.URL, options))
	if err != nil {
		controller.Call("abort")
		if ctx.Err() == nil {
			err = fmt.Errorf("no answer came, and a page is not told why: %w", err)
		}
		return nil, err
	}
	body := &fetchBody{ctx: ctx, controller: controller}
	if stream := answer.Get("body"); stream.Type() == js.TypeObject {
		body.reader = stream.Call("getReader")
	} else { // of a 204, or to HEAD
		body.err = io.EOF
	}
	body.unwatch = context.AfterFunc(ctx, body.abort)
	status, fields := answer.Get("status").Int(), answer.Get("headers")
	if answer.Get("type").String() == "opaqueredirect" {
		status = unseenRedirect
	}
	return &Response{
		Status: status,
		Header: func(name string) string {
			if value := fields.Call("get", name); value.Type() == js.TypeString {
				return value.String()
			}
			return ""
		},
		Body: body,
	}, nil
}

// fetchBody reads a body chunk by chunk as it is asked for, so that the browser holds the peer back
// when nobody asks.
type fetchBody struct {
	ctx        context.Context
	controller js.Value // an AbortController
	unwatch    func() bool

	// Owned by the one who reads.
	reader js.Value // a ReadableStreamDefaultReader
	chunk  js.Value // a Uint8Array, of which the first taken bytes have been given
	size   int
	taken  int
	err    error // stays
}

func (b *fetchBody) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for b.taken == b.size && b.err == nil {
		b.next()
	}
	if b.err != nil {
		return 0, b.err
	}
	n := js.CopyBytesToGo(p, b.chunk.Call("subarray", b.taken, min(b.taken+len(p), b.size)))
	b.taken += n
	return n, nil
}

// next waits for a chunk.
func (b *fetchBody) next() {
	result, err := await(b.ctx, b.reader.Call("read"))
	switch {
	case err != nil:
		b.err = err
	case result.Get("done").Bool():
		b.err = io.EOF
		b.unwatch()
	default:
		b.chunk = result.Get("value")
		b.size, b.taken = b.chunk.Length(), 0
	}
	if b.err != nil {
		b.chunk, b.size, b.taken = js.Undefined(), 0, 0
	}
}

// Close lets the connection go, and ends a Read that waits.
func (b *fetchBody) Close() error {
	b.unwatch()
	b.abort()
	return nil
}

func (b *fetchBody) abort() { b.controller.Call("abort") }
