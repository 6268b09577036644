package jetstream

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// The replicas of a stream should hold the same messages. After a loss on several servers at once they
// may differ for good without NATS noticing. So the newest messages are compared in the background.

// How replicas are compared.
const (
	compareInterval = 5 * time.Minute
	compareLeast    = time.Minute // between two comparisons, however often reads find a difference
	compareMessages = 200         // of each replica
	comparePlaces   = 40          // consumers made at most, to come to every replica: JetStream chooses at random
)

// replicas counts what the replicas of the stream were found to lack.
type replicas struct {
	found chan uint64 // capacity 1: a sequence that a replica lacks

	mu     sync.Mutex
	differ map[string]uint64 // comparisons that a server has failed, by its name
	served uint64            // events that were read from the leader, since a replica lacked them
}

func newReplicas() replicas {
	return replicas{found: make(chan uint64, 1), differ: make(map[string]uint64)}
}

// lacks notes that a replica lacked events that the leader has, the last of them at seq.
func (r *replicas) lacks(seq uint64, events int) {
	r.mu.Lock()
	r.served += uint64(events)
	r.mu.Unlock()
	select {
	case r.found <- seq:
	default:
	}
}

// compareReplicas compares the replicas every compareInterval, and soon after a read has found that one
// lacks something, until the context ends.
func (e *Engine) compareReplicas(ctx context.Context) {
	timer := time.NewTimer(compareInterval)
	defer timer.Stop()
	for {
		seq := uint64(0) // the newest messages
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case seq = <-e.replicas.found:
		}
		e.compareOnce(ctx, seq)
		select {
		case <-ctx.Done():
			return
		case <-time.After(compareLeast):
		}
		timer.Reset(compareInterval)
	}
}

// compareOnce compares the messages that end at seq on all replicas that have caught up. Zero is the
// newest. What differs is logged and counted.
func (e *Engine) compareOnce(ctx context.Context, seq uint64) {
	info, err := e.check(ctx)
	if err != nil || info.Cluster == nil {
		return
	}
	if seq == 0 {
		seq = info.State.LastSeq
	}
	from := max(info.State.FirstSeq, seq-min(seq, compareMessages)+1)
	want := map[string]bool{info.Cluster.Leader: true}
	for _, r := range info.Cluster.Replicas {
		if r.Current && !r.Offline {
			want[r.Name] = true
		}
	}
	held := e.readReplicas(ctx, want, from, seq)
	reference := held[info.Cluster.Leader]
	if info, err = e.check(ctx); err != nil || reference == nil || e.learnErasures(ctx) != nil {
		return
	}
	for _, server := range slices.Sorted(maps.Keys(held)) {
		missing, other := reference.compare(held[server], info.State.FirstSeq, &e.erased)
		if missing == 0 && other == 0 {
			continue
		}
		e.replicas.mu.Lock()
		e.replicas.differ[server]++
		e.replicas.mu.Unlock()
		e.cfg.Logger.Warn("a NATS server holds other messages than the stream's leader: stop it, delete its copy of the stream and start it again",
			"server", server, "leader", info.Cluster.Leader, "stream", e.cfg.Stream,
			"from", from, "to", seq, "missing", missing, "different", other)
	}
}

// holdings are the messages that one replica has of a range.
type holdings map[uint64]anchor

// compare returns how many of the messages from seq first on another replica lacks, and how many it has
// otherwise or alone, but for what was erased.
func (h holdings) compare(other holdings, first uint64, erased *erasures) (missing, different int) {
	for seq, a := range h {
		switch b, ok := other[seq]; {
		case seq < first || erased.has(seq): // removed by retention meanwhile
		case !ok:
			missing++
		case a != b:
			different++
		}
	}
	for seq := range other {
		if _, ok := h[seq]; !ok && seq >= first && !erased.has(seq) {
			different++
		}
	}
	return missing, different
}

// readReplicas reads a range from each of the wanted servers. JetStream places a consumer on a replica of
// its own choice, so consumers are made until each server had one. A server that does not answer in time
// is left out.
func (e *Engine) readReplicas(ctx context.Context, want map[string]bool, from, to uint64) map[string]holdings {
	held := make(map[string]holdings)
	for range comparePlaces {
		if len(held) == len(want) || ctx.Err() != nil {
			break
		}
		if server, got := e.readReplica(ctx, want, held, from, to); got != nil {
			held[server] = got
		}
	}
	return held
}

// readReplica reads the range from the replica that JetStream chooses, if it is wanted and was not read.
func (e *Engine) readReplica(ctx context.Context, want map[string]bool, held map[string]holdings, from, to uint64) (server string, got holdings) {
	ctx, cancel := context.WithTimeout(ctx, infoTimeout)
	defer cancel()
	consumer, err := e.js.CreateConsumer(ctx, e.cfg.Stream, jetstream.ConsumerConfig{
		DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:       from,
		AckPolicy:         jetstream.AckNonePolicy,
		MemoryStorage:     true,
		Replicas:          1,
		InactiveThreshold: consumerLife,
	})
	if err != nil {
		return "", nil
	}
	about := consumer.CachedInfo()
	defer func() {
		deleting, cancel := context.WithTimeout(context.WithoutCancel(ctx), retryWait)
		defer cancel()
		_ = e.js.DeleteConsumer(deleting, e.cfg.Stream, about.Name)
	}()
	if about.Cluster == nil || !want[about.Cluster.Leader] || held[about.Cluster.Leader] != nil {
		return "", nil
	}
	got = make(holdings)
	if about.NumPending == 0 {
		return about.Cluster.Leader, got
	}
	messages, err := consumer.Fetch(compareMessages, jetstream.FetchContext(ctx))
	if err != nil {
		return "", nil
	}
	for m := range messages.Messages() {
		meta, err := m.Metadata()
		if err != nil {
			return "", nil
		}
		seq := meta.Sequence.Stream
		if seq <= to {
			got[seq] = e.anchorOf(seq, meta.Timestamp, m.Subject(), m.Data())
		}
		if seq >= to || meta.NumPending == 0 {
			return about.Cluster.Leader, got
		}
	}
	return "", nil // not all of it in time
}
