// Package websocket is the WebSocket transport (RFC 6455): GET /ws, docs/protocol.md#websocket.
//
//	sockets, err := websocket.New(websocket.Config{Hub: h})
//	refuse := func(w http.ResponseWriter, r *http.Request, err error) { sockets.HandleError(w, r, auth.ProblemOf(err)) }
//	mux.Handle("/ws", auth.New(auth.Config{Verifier: tokens}).WrapSubscription(refuse)(sockets))
//
// A handler takes the rights of a request from the middleware of package auth; without a middleware it refuses all
// requests.
//
// Where a connection can be watched (Linux, without TLS), a goroutine exists only while there is input, or while a slow
// reader catches up. Elsewhere one goroutine for each connection blocks in reads. [Handler.Close] closes the connections
// and waits for all goroutines.
package websocket

// Structure
//
// github.com/coder/websocket does the handshake. From then on a connection.Writer owns all writes, and a session all
// reads. The session's frameReader parses bytes as they arrive, holds a buffer only within a message, and detects an error
// at the byte that causes it. Messages before that byte are still executed.
//
// Connections are watched by connection.Writer.NotifyReadable. Only one goroutine reads a connection at a time, and the
// registry owns it. Reading ends when the peer closes or violates the protocol, or when the writer has closed the
// connection, because the peer was too slow or the hub is draining. A peer that violates the protocol or does not answer a
// close frame is disconnected after closeTimeout.
