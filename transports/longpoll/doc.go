// Package longpoll is the transport for clients that can only send requests: GET /poll, docs/protocol.md#long-poll.
//
//	polls, err := longpoll.New(longpoll.Config{Hub: h})
//	refuse := func(w http.ResponseWriter, r *http.Request, err error) { transports.WriteProblem(w, r, auth.ProblemOf(err)) }
//	mux.Handle("/poll", auth.New(auth.Config{Verifier: tokens}).WrapSubscription(refuse)(polls))
//
// The middleware of package auth determines the rights of a request. Without a middleware, a handler refuses all
// requests.
//
// A poll is a subscription for one request. It starts at the client's cursor and waits for the first event; the answer
// contains the cursor of the next poll. The poll ends with the answer, or earlier if the client disconnects or the hub
// drains.
//
// On a connection with direct writes, a poll that must wait has no goroutine: its connection is parked, see pollConn. A
// fan-out worker writes the answer, which is encoded once for all polls that wait at the same position. The parked
// connection also serves the next poll, with the handler of the http.Server and its middleware. If any other request
// arrives, the connection is returned to the server. Between two polls, a connection counts toward the limits of its
// token until the server's IdleTimeout. If a limit would refuse another connection, it is returned to the server
// earlier. On other connections, the goroutine of the request waits and answers.
//
// Events before the in-memory log must first be read from the durable log. Therefore even a poll with wait=0 waits for
// a short time until they are read. If the start position of a poll is not found in the durable log by the end of its
// wait, the answer is 503, because the poll has no cursor from which to continue.
package longpoll
