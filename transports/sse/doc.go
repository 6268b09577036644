// Package sse is the transport for EventSource in browsers: GET /sse returns a stream of server-sent
// events (WHATWG HTML section 9.2, docs/protocol.md#server-sent-events).
//
//	events, err := sse.New(sse.Config{Hub: h})
//	refuse := func(w http.ResponseWriter, r *http.Request, err error) { events.HandleError(w, r, auth.ProblemOf(err)) }
//	mux.Handle("/sse", auth.New(auth.Config{Verifier: tokens}).WrapSubscription(refuse)(events))
//
// The middleware of package auth determines the rights of a request. Without a middleware, a handler
// refuses all requests.
//
// A stream ends when the client disconnects. The hub detects this immediately if the connection is
// watched by epoll, otherwise at the next write or heartbeat. A stream also ends when the token ends or
// no longer permits the subscription, when the client is too slow, when the transports.API drains, and
// when [Handler.Close] is called.
//
// Over HTTP/1.1 and HTTP/1.0, the handler hijacks the connection and returns; the stream then has a
// goroutine only while a slow client catches up. Over HTTP/2, the handler returns when the stream has
// ended. Close waits for all goroutines.
package sse
