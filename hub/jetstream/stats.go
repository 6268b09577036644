package jetstream

import (
	"maps"

	"github.com/nats-io/nats.go/jetstream"
)

// Stats describes the stream as its leader reported it last, at most watchInterval ago while it is available.
type Stats struct {
	FirstSeq, LastSeq uint64 // of the events that are kept
	Events            uint64
	Bytes             uint64 // of one replica
	Free              int64  // bytes that the disk of an embedded server has left; -1: unknown
	Replicas          int    // configured
	CurrentReplicas   int    // of them, running and caught up
	// Lag is how many events the stream has that were not delivered to this hub yet.
	Lag uint64
	// Differ counts the comparisons in which a server held other messages than the leader, by its name.
	Differ map[string]uint64
	// FromLeader counts the events that were read from the leader, since another replica lacked them.
	FromLeader uint64
}

// Stats returns the state of the stream.
func (e *Engine) Stats() Stats {
	e.mu.Lock()
	s := e.state
	e.mu.Unlock()
	s.Lag = s.LastSeq - min(s.LastSeq, e.follows.reached())
	s.Free = -1
	if e.server != nil {
		if free, known := freeSpace(e.server.store.dir); known {
			s.Free = int64(free)
		}
	}
	e.replicas.mu.Lock()
	defer e.replicas.mu.Unlock()
	s.Differ, s.FromLeader = maps.Clone(e.replicas.differ), e.replicas.served
	return s
}

// seeState keeps what the leader reported of the stream.
func (e *Engine) seeState(info *jetstream.StreamInfo) {
	s := Stats{
		FirstSeq: info.State.FirstSeq, LastSeq: info.State.LastSeq, Events: info.State.Msgs, Bytes: info.State.Bytes,
		Replicas: info.Config.Replicas, CurrentReplicas: 1,
	}
	if info.Cluster != nil {
		for _, r := range info.Cluster.Replicas {
			if r.Current && !r.Offline {
				s.CurrentReplicas++
			}
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.state = s
}
