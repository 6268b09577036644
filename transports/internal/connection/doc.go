// Package connection writes a subscriber's events and control messages to its connection, in order,
// without blocking the hub.
//
// A fan-out worker offers a batch to the Writer of each connection. The Writer writes the encoded
// events, which all connections share, directly to the socket, and advances the subscription's position
// past the events written. If the socket accepts only a part, the Writer keeps the unsent rest of the
// current event and starts a drain goroutine. That goroutine writes the rest, then queued control
// messages, then events that it reads from the hub. It ends when the subscriber has caught up. While it
// runs, workers skip the connection. A slow connection therefore uses one goroutine, one chunk of
// memory, and at most one event that retention has already removed.
//
// The TryWrite method of a Conn that cannot write without blocking (HTTP/2, systems other than Linux)
// accepts no bytes, so the drain goroutine does all writes. The Writer's code is the same for all Conns.
//
// With TLS over a socket with direct writes, the worker also encrypts. crypto/tls cannot continue a
// write that failed, so the connection below TLS accepts every record, and holds the bytes that the
// socket does not accept. While it holds bytes, workers skip the connection, and the drain goroutine
// sends the bytes. Reads do not block either: a read that would block returns a temporary error instead.
//
// A server accepts its connections from a Listener, which is below TLS and HTTP/2. The Listener's
// connections are closed if a write makes no progress, but not if it is merely slow. A write deadline
// above TLS could not achieve this: if it expires within a TLS record, the connection is broken.
//
// On Linux, each Registry has one epoll instance, the poller, which watches all connections that have
// direct writes. The poller detects immediately that a peer has closed its connection. With
// Writer.NotifyReadable it also reports input, so that no goroutine has to block in a read. A Parked
// connection is watched too. It has no Writer: it waits for an event or for the client's next HTTP
// request, and can be returned to its server.
//
// The socket of a connection without TLS that a Listener has accepted is taken over from package net as
// a descriptor: a net.TCPConn would use more memory than the rest of an idle connection. The Writer owns
// the descriptor and closes it with Writer.mu held. Otherwise a later write could reach another
// connection whose descriptor has the same number. Other goroutines use the descriptor's own lock.
//
// Writer.mu guards the position, the state and the queue of the Writer. The lock order is Writer.mu,
// then Hub.mu, Registry.mu, poller.mu or descriptor.mu. The Writer writes nothing after the end of a
// stream.
//
// All goroutines belong to the Registry: the heartbeat goroutine, the poller, the drain goroutines of
// the connections, and the readers that the poller starts. Registry.Close closes every connection and
// waits for all these goroutines.
package connection
