package jetstream

import "time"

// timeouts determines when a slow server is considered unavailable. Each Engine has its own
// timeouts, because tests run many servers on a busy machine and need longer ones.
type timeouts struct {
	connect  time.Duration // timeout of one attempt to connect
	ping     time.Duration // interval of pings; the connection is lost if two pings have no answer
	start    time.Duration // longest time that Start waits for a cluster that is reachable but not ready
	ack      time.Duration // timeout of one attempt to publish
	retry    time.Duration // timeout of all attempts of a publish together; the election of a leader takes a few seconds
	election time.Duration // longest time that publishers wait for a stream without a leader
}

var defaultTimeouts = timeouts{
	connect: 2 * time.Second, ping: time.Second, start: 15 * time.Second,
	ack: 5 * time.Second, retry: 8 * time.Second, election: 5 * time.Second,
}
