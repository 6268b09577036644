// Package websocket is the transport over WebSocket (RFC 6455): GET /ws, PROTOCOL section 5.
//
// github.com/coder/websocket does the handshake, reads, and answers control frames; an outlet
// owns every byte that is written after the handshake, the library's control frames included. A
// guard below the library sees every byte that is read, and stops a frame that is over a limit, or
// against the RFC where the library is lenient, at its header. What came before is carried out.
//
// A connection has one goroutine, its reader, started by the handler and owned by the group. It
// ends when the peer closes or breaks a rule, or when the outlet has closed the connection: a slow
// peer, a drain. Whoever ends it, the reader closes the outlet last; a peer that has broken a rule
// is cut where it takes longer than closeTimeout to go.
package websocket
