// Package intake limits the memory of data that is being received: request bodies, lines of a
// stream and WebSocket messages. One [Budget] counts all this memory. Each sender (a token or an
// address) may use a share of it. Memory is counted when it is allocated, not when it is announced,
// and is returned when its [Reservation] is closed. The package starts no goroutine.
package intake
