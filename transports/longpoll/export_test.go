package longpoll

import "time"

// SetIdleTime changes idleTime for Handlers that are created afterwards, and returns the previous value.
func SetIdleTime(d time.Duration) time.Duration {
	before := idleTime
	idleTime = d
	return before
}

// In tests, connections without a poll stay parked for an hour, so that they are not returned to the
// server while a slow machine pauses the test.
func init() { idleTime = time.Hour }
