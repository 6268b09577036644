// Package intake limits the memory for data that the hub is receiving: request bodies, lines of a
// stream and WebSocket messages. One [Budget] counts all this memory. Each sender (a token, or an
// address without a token) may use a share of the budget. A [Reservation] counts the memory of one body,
// line or message as soon as it is allocated, not when the sender announces its size. The memory is
// returned to the budget when the Reservation is closed. The package starts no goroutine.
package intake
