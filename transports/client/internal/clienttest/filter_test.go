//go:build !js

package clienttest

import (
	"context"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
)

// unshared is an HTTP transport that keeps no idle connections.
var unshared = &http.Transport{DisableKeepAlives: true}

// proxyTo returns a proxy that forwards data immediately, and closes the connection on an error.
func proxyTo(host string) *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		FlushInterval: -1, Transport: unshared, ErrorLog: log.New(io.Discard, "", 0),
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(&url.URL{Scheme: "http", Host: host})
			p.Out.Host = p.In.Host
		},
	}
}

// filter behaves like a corporate proxy: it forwards plain HTTP, and may block WebSockets or buffer
// streams.
type filter struct {
	server  *httptest.Server
	stopped context.Context
	proxy   *httputil.ReverseProxy
	ws      atomic.Value // "": forwarded; "403": refused; "hang": not answered
	sse     atomic.Value // "": forwarded; "buffer": buffered until enough data has arrived
}

func newFilter(stopped context.Context, upstream string) *filter {
	f := &filter{stopped: stopped}
	f.ws.Store("")
	f.sse.Store("")
	f.proxy = proxyTo(upstream)
	f.server = httptest.NewServer(f)
	return f
}

func (f *filter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/ws" && f.ws.Load() == "403":
		http.Error(w, "this proxy does not support upgrades", http.StatusForbidden)
		return
	case r.URL.Path == "/ws" && f.ws.Load() == "hang":
		select {
		case <-r.Context().Done():
		case <-f.stopped.Done():
		}
		return
	case r.URL.Path == "/sse" && f.sse.Load() == "buffer":
		w = struct{ http.ResponseWriter }{w} // a writer that cannot flush
	}
	f.proxy.ServeHTTP(w, r)
}

func (f *filter) close() {
	f.server.CloseClientConnections()
	f.server.Close()
}
