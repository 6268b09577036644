package longpoll

import "time"

// SetIdleTime changes idleTime for Handlers that are created later, and returns the previous value.
func SetIdleTime(d time.Duration) time.Duration {
	before := idleTime
	idleTime = d
	return before
}

// In tests, idle connections stay parked for an hour, so that a slow machine does not end them.
func init() { idleTime = time.Hour }
