// Package websocket is the transport over WebSocket (RFC 6455): GET /ws, PROTOCOL section 5.
//
// github.com/coder/websocket does the handshake. From then on an outlet owns every byte that is
// written, and a session what is read: its frames take the peer's bytes as they come, hold a buffer
// only within a message, and find a mistake at the byte that makes it. What came before is carried
// out.
//
// A connection has one goroutine, which reads, started by the handler and owned by the group. It
// ends when the peer closes or breaks a rule, or when the outlet has closed the connection: a slow
// peer, a drain. Whoever ends it, the reader closes the outlet last; a peer that has broken a rule
// is cut where it takes longer than closeTimeout to go.
package websocket
