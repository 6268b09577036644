package jetstream

import (
	"errors"

	"github.com/nats-io/nats.go/jetstream"
)

// A leader that loses the connection to most other servers remains the leader for about 20 s. It
// still answers requests about the stream, but acknowledges nothing.

const (
	// silentAfter is the time after which a server that has not answered the leader is considered
	// silent. After this time without a message from its leader, a server may start an election.
	silentAfter = 4 * raftHeartbeat
	// silentChecks is the number of consecutive checks in which most servers must be silent. After
	// a pause of the leader's process, all servers are silent for a moment.
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

// mostSilent reports whether more than half of the stream's servers have sent nothing to the leader for
// silentAfter. The leader counts as a server that is not silent.
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
