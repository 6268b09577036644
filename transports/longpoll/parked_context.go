package longpoll

import (
	"context"
	"net/http"
)

// requestContext is the context of one request that a pollConn serves. It is canceled when the request
// ends, or when the peer or the registry closes the connection.
type requestContext struct {
	context.Context
	conn *pollConn
	done <-chan struct{} // nil until Done is called; guarded by conn.mu
}

// Value implements context.Context.
func (x *requestContext) Value(key any) any {
	switch key {
	case pollConnKey{}:
		return x.conn
	case http.LocalAddrContextKey:
		return x.conn.parked.Conn().LocalAddr()
	}
	return x.Context.Value(key)
}

// Done implements context.Context.
func (x *requestContext) Done() <-chan struct{} {
	c := x.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if x.done == nil {
		if c.current == x {
			x.done = c.peerGoneLocked()
		} else {
			x.done = ended
		}
	}
	return x.done
}

// Err implements context.Context.
func (x *requestContext) Err() error {
	select {
	case <-x.Done():
		return context.Canceled
	default:
		return nil
	}
}

// ended is a closed channel, for contexts of requests that have ended.
var ended = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()
