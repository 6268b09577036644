package problems

import (
	"math/rand/v2"
	"time"
)

// Jitter returns a random duration, uniformly distributed between shortest and longest. It spreads
// the reconnections of clients that were disconnected at the same time.
func Jitter(shortest, longest time.Duration) time.Duration {
	if longest <= shortest {
		return shortest
	}
	return shortest + rand.N(longest-shortest+1)
}

// RetryDelay returns a random duration of 2 to 4 seconds, in whole milliseconds. It is the delay after
// which a client should retry after it has lost its stream or was refused temporarily.
func RetryDelay() time.Duration {
	return Jitter(2*time.Second, 4*time.Second).Round(time.Millisecond)
}
