// Package sse is the transport for the EventSource of browsers: GET /sse, a stream of server-sent
// events (WHATWG HTML section 9.2, docs/protocol.md#server-sent-events).
//
// Over HTTP/1.1 and HTTP/1.0 the handler hijacks the connection and returns. From then on a
// connection.Writer writes to it, and a goroutine exists only while a slow reader catches up. Over
// HTTP/2 the handler returns when the Writer is closed.
//
// A stream ends when the client disconnects, which is detected at once on a watched connection and
// otherwise at the next write or heartbeat. It also ends when the token ends or loses its right,
// when the Writer finds the client too slow, and when the registry is drained or closed. The
// registry waits for all goroutines.
package sse
