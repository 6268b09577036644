// Package sse is the transport for browsers' EventSource: GET /sse, a stream of server-sent
// events (WHATWG HTML section 9.2, docs/protocol.md#server-sent-events).
//
// Over HTTP/1.1 and HTTP/1.0 the handler hijacks the connection and returns; an outlet writes to
// it from then on, and there is no goroutine but the outlet's while a slow reader catches up.
// Over HTTP/2 the handler stays until the outlet is closed.
//
// A stream ends when the client goes, which shows at once where the outlet watches the connection and
// else at the next write or heartbeat; when its token ends or loses the right; when the outlet finds
// it too slow; or when the group is drained or closed. The group waits for what is left.
package sse
