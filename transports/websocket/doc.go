// Package websocket is the WebSocket transport (RFC 6455): GET /ws, docs/protocol.md#websocket.
//
// github.com/coder/websocket does the handshake. From then on a connection.Writer owns all writes,
// and a session all reads. The session's frameReader parses bytes as they arrive, holds a buffer
// only within a message, and detects an error at the byte that causes it. Messages before that byte
// are still executed.
//
// Where the connection can be watched (connection.Writer.NotifyReadable), a goroutine is started
// only while there is input. Elsewhere, below TLS and on systems other than Linux, one goroutine
// blocks in reads. Only one of them runs at a time, and the registry owns it. Reading ends when the
// peer closes or violates the protocol, or when the writer has closed the connection, because the
// peer was too slow or the hub is draining. A peer that violates the protocol or does not answer a
// close frame is disconnected after closeTimeout.
package websocket
