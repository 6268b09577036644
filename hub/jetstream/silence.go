package jetstream

import (
	"errors"

	"github.com/nats-io/nats.go/jetstream"
)

// A leader that loses most other servers continues to lead for some 20 s. It describes the stream
// as before, but acknowledges nothing.

const (
	// silentAfter is the time after which a server that has not answered the leader counts as
	// silent. A server that has not heard of its leader for this long may elect another.
	silentAfter = 4 * raftHeartbeat
	// silentChecks is the number of consecutive checks in which most servers must be silent. After
	// a pause of the leader's process, all are silent for a moment.
	silentChecks = 2
)

var errNoMajority = unavailable(errors.New("the stream's leader is cut off from most servers"))

// silence counts the consecutive checks in which most servers of the stream were silent.
type silence int

// check returns errNoMajority if most servers were silent in the last silentChecks checks.
func (s *silence) check(c *jetstream.ClusterInfo) error {
	if !mostSilent(c) {
		*s = 0
		return nil
	}
	if *s = min(*s+1, silentChecks); *s < silentChecks {
		return nil
	}
	return errNoMajority
}

// mostSilent reports whether the leader has heard from most of the servers, counting itself, longer
// ago than silentAfter.
func mostSilent(c *jetstream.ClusterInfo) bool {
	if c == nil {
		return false
	}
	silent := 0
	for _, r := range c.Replicas {
		if r.Offline || r.Active >= silentAfter {
			silent++
		}
	}
	return 2*silent > len(c.Replicas)+1
}
