// Package intake bounds the memory of what is being received: request bodies, lines of a stream,
// WebSocket messages. One [Budget] counts all of it, and each sender, a token or an address, has a
// share. Memory is counted as it is allocated and not as it is announced, and is given back when a
// [Reservation] is closed. The package starts no goroutine.
package intake
