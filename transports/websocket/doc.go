// Package websocket is the transport over WebSocket (RFC 6455): GET /ws, docs/protocol.md#websocket.
//
// github.com/coder/websocket does the handshake. From then on an outlet owns every byte that is
// written, and a session what is read: its frames take the peer's bytes as they come, hold a buffer
// only within a message, and find a mistake at the byte that makes it. What came before is carried
// out.
//
// Where the connection can be watched (Outlet.Watch), a goroutine reads what has come and ends; else,
// below TLS and on other systems than Linux, one reads and waits. One at a time does, owned by the
// group. It is over when the peer closes or breaks a rule, or when the outlet has closed the
// connection: a slow peer, a drain. A peer that has broken a rule, or does not answer a close frame,
// is cut after closeTimeout.
package websocket
