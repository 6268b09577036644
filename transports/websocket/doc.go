// Package websocket is the WebSocket transport (RFC 6455). It serves GET /ws; see docs/protocol.md#websocket.
//
//	sockets, err := websocket.New(websocket.Config{Hub: h})
//	refuse := func(w http.ResponseWriter, r *http.Request, err error) { sockets.HandleError(w, r, auth.ProblemOf(err)) }
//	mux.Handle("/ws", auth.New(auth.Config{Verifier: tokens}).WrapSubscription(refuse)(sockets))
//
// The middleware of package auth determines the rights of a request. Without a middleware, a handler
// refuses all requests.
//
// If the system can watch a connection for input (on Linux), the connection has a goroutine only while
// there is input or while a slow client catches up. Otherwise each connection has one goroutine that
// blocks in reads. [Handler.Close] closes the connections and waits for all goroutines.
package websocket

// Structure
//
// github.com/coder/websocket does the handshake. After that, a connection.Writer does all writes, and a
// session does all reads. The session's frameReader parses bytes as they arrive, holds a buffer only
// while a message is incomplete, and detects an error at the byte that causes it. Messages before that
// byte are still executed.
//
// Writer.NotifyReadable watches a connection for input. Only one goroutine reads from a connection at a
// time, and the registry owns that goroutine. A session stops reading when the peer closes the
// connection or violates the protocol, or when the Writer has closed the connection because the peer
// was too slow or the hub is draining. A peer that violates the protocol or does not answer a close
// frame is disconnected after closeTimeout.
