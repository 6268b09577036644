// Package intake bounds the memory of data that is being received: request bodies, lines of a
// stream and WebSocket messages. One [Budget] counts all of it, and each sender (a token, or an
// address) has a share. Memory is counted when it is allocated, not when it is announced, and is
// returned when its [Reservation] is closed. The package starts no goroutine.
package intake
