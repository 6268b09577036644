package jetstream

import (
	"maps"

	"github.com/nats-io/nats.go/jetstream"
)

// Stats is the state of the stream as its leader reports it. While the stream is available, it is
// at most watchInterval old.
type Stats struct {
	FirstSeq, LastSeq uint64 // sequences of the oldest and newest retained event
	Events            uint64
	Bytes             uint64 // size of one replica
	Free              int64  // free bytes on the disk of an embedded server; -1: unknown
	Replicas          int    // configured number of replicas
	CurrentReplicas   int    // number of replicas that run and have caught up
	// Lag is the number of events in the stream that have not been delivered to this hub yet.
	Lag uint64
	// Differ counts, by server name, the comparisons in which a server differed from the majority of replicas.
	Differ map[string]uint64
	// FromLeader counts the events that were read from the leader because another replica lacked them.
	FromLeader uint64
	// FromOthers counts the events that were read from another replica because the leader lacked them.
	FromOthers uint64
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
	s.Differ, s.FromLeader, s.FromOthers = maps.Clone(e.replicas.differ), e.replicas.served, e.replicas.fromOthers
	return s
}

// recordState stores the leader's description of the stream.
func (e *Engine) recordState(info *jetstream.StreamInfo) {
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
