// Package websocket is the WebSocket transport (RFC 6455): GET /ws, docs/protocol.md#websocket.
//
//	sockets, err := websocket.New(websocket.Config{Hub: h})
//	refuse := func(w http.ResponseWriter, r *http.Request, err error) { sockets.HandleError(w, r, auth.ProblemOf(err)) }
//	mux.Handle("/ws", auth.New(auth.Config{Verifier: tokens}).WrapSubscription(refuse)(sockets))
//
// The middleware of package auth determines the rights of a request. Without a middleware, a handler refuses all
// requests.
//
// If a connection can be watched (Linux, without TLS), it has a goroutine only while there is input or while a slow
// reader catches up. Otherwise each connection has one goroutine that blocks in reads. [Handler.Close] closes the
// connections and waits for all goroutines.
package websocket

// Structure
//
// github.com/coder/websocket does the handshake. After that, a connection.Writer does all writes, and a session does
// all reads. The session's frameReader parses bytes as they arrive, holds a buffer only within a message, and detects
// an error at the byte that causes it. Messages before that byte are still executed.
//
// Connections are watched by connection.Writer.NotifyReadable. Only one goroutine reads a connection at a time, and the
// registry owns it. Reading ends when the peer closes or violates the protocol, or when the writer has closed the
// connection, because the peer was too slow or the hub is draining. A peer that violates the protocol or does not
// answer a close frame is disconnected after closeTimeout.
