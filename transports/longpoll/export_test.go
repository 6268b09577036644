package longpoll

import "time"

// SetIdleTime changes idleTime for the Handlers that are made later, and returns what it was.
func SetIdleTime(d time.Duration) time.Duration {
	before := idleTime
	idleTime = d
	return before
}

// Connections of tests stay parked, however slow the machine is.
func init() { idleTime = time.Hour }
