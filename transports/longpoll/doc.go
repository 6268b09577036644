// Package longpoll is the transport for clients that can use neither SSE nor WebSocket, only plain HTTP
// requests. It serves GET /poll; see docs/protocol.md#long-poll.
//
//	polls, err := longpoll.New(longpoll.Config{Hub: h})
//	refuse := func(w http.ResponseWriter, r *http.Request, err error) { transports.WriteProblem(w, r, auth.ProblemOf(err)) }
//	mux.Handle("/poll", auth.New(auth.Config{Verifier: tokens}).WrapSubscription(refuse)(polls))
//
// The middleware of package auth determines the rights of a request. Without a middleware, a handler
// refuses all requests.
//
// A poll is a subscription for one request. It starts at the client's cursor and waits for the first
// event. The answer contains the cursor with which the client sends its next poll. The subscription
// ends with the answer, or earlier if the client disconnects or the hub drains.
//
// A poll that must wait has no goroutine if its connection can be parked, see pollConn. This requires
// Linux, no TLS, and a connection that the listener of a transports.API has accepted. A fan-out worker
// writes the answer, which is encoded once for all polls that wait at the same position. The client's
// next poll is also served on the parked connection, by the handler of the http.Server, including its
// middleware. If any other request arrives, the connection is returned to the server. Between two polls,
// a parked connection counts toward the limits of its token. It is closed after the server's IdleTimeout
// or, if the server has none, returned to the server after idleTime. It is returned earlier if a limit
// would otherwise refuse another connection. On connections that cannot be parked, the goroutine of the
// request waits and answers.
//
// Events that are older than the in-memory log must be read from the durable log. Therefore even a poll
// with wait=0 waits for a short time. If the start position of a poll is not found in the durable log
// before the wait ends, the answer is 503, because the hub then knows no cursor from which the next
// poll could continue.
package longpoll
