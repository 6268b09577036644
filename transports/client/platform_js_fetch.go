//go:build js

package client

import (
	"context"
	"fmt"
	"io"
	"syscall/js"
)

// unseenRedirect is the status that Do reports for every redirect, because fetch hides the actual
// status.
const unseenRedirect = 302

// Do implements Platform with fetch. Redirects are not followed, as on the native platform.
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
		// Chromium sends requests for the same URL one after the other, because of its cache. The
		// cache mode no-store avoids that, but causes a CORS preflight for each request.
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
			err = fmt.Errorf("no answer; the browser does not report why: %w", err)
		}
		return nil, err
	}
	body := &fetchBody{ctx: ctx, controller: controller}
	if stream := answer.Get("body"); stream.Type() == js.TypeObject {
		body.reader = stream.Call("getReader")
	} else { // the answer has no body: status 204, or the request was HEAD
		body.err = io.EOF
	}
	body.stopWatching = context.AfterFunc(ctx, body.abort)
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

// fetchBody reads one chunk of a body each time the program reads, so that the browser applies
// backpressure to the peer.
type fetchBody struct {
	ctx          context.Context
	controller   js.Value // an AbortController
	stopWatching func() bool

	// The goroutine that calls Read owns the following fields.
	reader js.Value // a ReadableStreamDefaultReader
	chunk  js.Value // a Uint8Array
	size   int      // length of chunk in bytes
	taken  int      // number of bytes of chunk that Read has returned
	err    error    // the first error, which later reads return again
}

func (b *fetchBody) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for b.taken == b.size && b.err == nil {
		b.readChunk()
	}
	if b.err != nil {
		return 0, b.err
	}
	n := js.CopyBytesToGo(p, b.chunk.Call("subarray", b.taken, min(b.taken+len(p), b.size)))
	b.taken += n
	return n, nil
}

// readChunk blocks until there is another chunk.
func (b *fetchBody) readChunk() {
	result, err := await(b.ctx, b.reader.Call("read"))
	switch {
	case err != nil:
		b.err = err
	case result.Get("done").Bool():
		b.err = io.EOF
		b.stopWatching()
	default:
		b.chunk = result.Get("value")
		b.size, b.taken = b.chunk.Length(), 0
	}
	if b.err != nil {
		b.chunk, b.size, b.taken = js.Undefined(), 0, 0
	}
}

// Close closes the connection and ends a blocked Read.
func (b *fetchBody) Close() error {
	b.stopWatching()
	b.abort()
	return nil
}

func (b *fetchBody) abort() { b.controller.Call("abort") }
