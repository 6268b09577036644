// Package outlet is the write side of a connection: the events of a subscription and the control
// messages between them, out in order, without blocking who has them.
//
// A fan-out worker offers a round; the outlet writes the shared bytes directly to the socket and
// moves the subscription's position past them. What does not go at once stays where it is: the
// rest of a message that was cut becomes the tail, and one drain goroutine is started that writes
// tail, waiting messages and then events from the window, until it has caught up, and ends. While
// it runs the worker passes the outlet over. So a slow connection costs a goroutine, one chunk and
// at most one event that retention has let go of already.
//
// A Conn that cannot write without waiting (TLS, HTTP/2, other systems than Linux) says so of every
// write, and its drain goroutine does all of them: one code, two write paths.
//
// A server takes its connections from a Listener, which stands below TLS and HTTP/2 and gives up
// a peer that makes no progress, and none that does, whoever writes to it. A deadline above TLS
// could not: the first that passes within a record ends the connection.
//
// On Linux a connection that is written directly is watched too: for the peer's end, so that it
// is noticed at once, or, with Outlet.Watch, for something to read, so that no goroutine has to
// wait for it. One epoll instance, the poller, does so for all of a group.
//
// Position, busy and what waits stand under one mutex of the outlet; the lock order is Outlet.mu,
// then Hub.mu, Group.mu or poller.mu. After the end of a stream nothing is written.
//
// The goroutines are the Group's: its heartbeat, its poller, the drain goroutines of its members
// and, while there is something to read, those of readers. Close cuts every connection and waits
// for all of them.
package connection
