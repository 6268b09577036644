// Package sse is the transport for the EventSource of browsers: GET /sse, a stream of server-sent events (WHATWG HTML
// section 9.2, docs/protocol.md#server-sent-events).
//
//	events, err := sse.New(sse.Config{Hub: h})
//	refuse := func(w http.ResponseWriter, r *http.Request, err error) { events.HandleError(w, r, auth.ProblemOf(err)) }
//	mux.Handle("/sse", auth.New(auth.Config{Verifier: tokens}).WrapSubscription(refuse)(events))
//
// The middleware of package auth determines the rights of a request. Without a middleware, a handler refuses all
// requests.
//
// A stream ends when the client disconnects, which is detected immediately on a watched connection and otherwise at the
// next write or heartbeat. It also ends when the token ends or loses its right, when the client is too slow, when the
// transports.API drains, and when [Handler.Close] is called.
//
// Over HTTP/1.1 and HTTP/1.0 the handler hijacks the connection and returns; a stream has a goroutine only while a slow
// reader catches up. Over HTTP/2 the handler returns when the stream has ended. Close waits for all goroutines.
package sse
