// Package connection writes a subscriber's events and control messages to its connection, in order,
// without blocking the hub.
//
// A fan-out worker offers a batch to the Writer of each connection. The Writer writes the shared
// bytes directly to the socket and advances the subscription's position past them. If the socket
// accepts only a part, the Writer keeps the rest of the message that was cut, and no other bytes,
// and starts a drain goroutine. That goroutine writes the rest, then queued control messages, then
// events that it reads from the hub. It ends when the subscriber has caught up. While it runs,
// workers skip the connection. A slow connection therefore uses one goroutine, one chunk of memory,
// and at most one event that retention has already removed.
//
// A Conn that cannot write without blocking (HTTP/2, systems other than Linux) accepts nothing
// directly, so the drain goroutine does all its writes. The Writer's code is the same for both.
//
// With TLS over a socket with direct writes, a worker encrypts. crypto/tls cannot continue a write
// that failed, so the connection below it accepts every record, and holds the bytes that the socket
// does not accept. While it holds some, workers skip the connection, and the drain goroutine sends them.
// Reads do not block either: the connection below TLS returns a temporary error instead.
//
// A server accepts its connections from a Listener, which works below TLS and HTTP/2. It closes a
// connection whose writes make no progress, but not one whose writes are slow. A deadline above TLS
// could not do this: when it expires within a TLS record, the connection is broken.
//
// On Linux, connections with direct writes are also watched by one epoll instance for each
// Registry. It detects at once that the peer has closed. With Writer.NotifyReadable it also reports
// that there is something to read, so that no goroutine has to block in a read. A Parked connection
// has no Writer: it waits for its owner's next HTTP request, and can be given back to its server.
//
// The socket of a connection without TLS that a Listener has accepted is taken over from package net as
// a descriptor: a net.TCPConn would use more memory than the rest of an idle connection. The Writer owns
// the descriptor and closes it under Writer.mu, so that no write reaches another connection that gets
// its number. Other goroutines use it under the descriptor's own lock.
//
// Writer.mu guards the position, the state of the Writer and everything queued. The lock order is
// Writer.mu, then Hub.mu, Registry.mu, poller.mu or descriptor.mu. Nothing is written after the end of a stream.
//
// All goroutines belong to the Registry: its heartbeat, its poller, the drain goroutines of its
// connections, and the readers that the poller starts. Registry.Close closes every connection and
// waits for all of them.
package connection
