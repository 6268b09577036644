// Package websocket is the transport over WebSocket (RFC 6455): GET /ws, PROTOCOL section 5.
//
// github.com/coder/websocket does the handshake, reads, and answers control frames; an outlet
// owns every byte that is written after the handshake, the library's control frames included.
//
// A connection has one goroutine, its reader, started by the handler and owned by the group. It
// ends when the peer closes or breaks the protocol, or when the outlet has closed the connection:
// a slow peer, a drain. Whoever ends it, the reader closes the outlet last.
package websocket
