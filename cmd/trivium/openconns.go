package main

import (
	"net"
	"net/http"
	"sync/atomic"
)

// spareConnections is how many connections net/http may have beside those of subscribers: of
// publishers, of probes, and of who has yet to say what it wants.
const spareConnections = 1024

// openConnections bounds the connections that net/http has, from before a request on them can be
// judged. Those that were taken from it are a transport's, which has a limit of its own.
type openConnections struct {
	limit   int64 // 0: none
	open    atomic.Int64
	refused atomic.Uint64
}

// track is the ConnState of a server.
func (o *openConnections) track(conn net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		if n := o.open.Add(1); o.limit > 0 && n > o.limit {
			o.refused.Add(1)
			conn.Close() // it is told StateClosed of it
		}
	case http.StateHijacked, http.StateClosed:
		o.open.Add(-1)
	}
}
