package jetstream

import (
	"cmp"
	"context"
	"slices"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/trivium-hub/trivium/hub"
)

// A leader with damaged files reports deleted ranges where other servers have events. Therefore,
// before a deleted range is reported as a gap, the engine reads it from the other replicas, and
// uses the events that only they have. Ranges before the leader's first message are excluded,
// because retention constantly removes messages there.

// Limits of reading from replicas.
const (
	replicaTries = 40      // maximum number of consumers created to reach every replica; JetStream places them at random
	replicaBytes = 8 << 20 // bytes of data after which a read for a deleted range ends
	maxEmpty     = 1024    // maximum number of remembered stretches without messages
)

// stretch is a range of sequences, both ends included.
type stretch struct{ from, to uint64 }

// replicaRead holds the messages that were read from one replica in a range.
type replicaRead struct {
	messages []stored
	through  uint64 // the last sequence that was read
}

// currentReplicas returns the names of the servers that have caught up with the leader. The leader
// itself is not included.
func currentReplicas(info *jetstream.StreamInfo) map[string]bool {
	current := make(map[string]bool)
	for _, r := range info.Cluster.Replicas {
		if r.Current && !r.Offline {
			current[r.Name] = true
		}
	}
	return current
}

// isEmpty reports whether an earlier read has shown that no replica has a message in [from, to].
func (r *replicas) isEmpty(from, to uint64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.empty, func(s stretch) bool { return s.from <= from && to <= s.to })
}

// recordEmpty records the stretches of [from, to] in which no replica has messages.
func (r *replicas) recordEmpty(from, to uint64, messages []stored) {
	r.mu.Lock()
	defer r.mu.Unlock()
	note := func(s stretch) {
		if s.from <= s.to {
			r.empty = append(r.empty, s)
		}
	}
	for _, m := range messages {
		if m.seq > to {
			break
		}
		note(stretch{from, m.seq - 1})
		from = m.seq + 1
	}
	note(stretch{from, to})
	r.empty = slices.Delete(r.empty, 0, max(0, len(r.empty)-maxEmpty))
}

// readFromOthers returns the log elements of (after, through] if another replica has messages there,
// although the leader has none. The elements may end before through. If no replica has messages, it
// returns no elements.
func (e *Engine) readFromOthers(ctx context.Context, after, through uint64) ([]*hub.Event, error) {
	if e.cfg.Replicas == 1 {
		return nil, nil
	}
	info, err := e.check(ctx)
	if err != nil {
		return nil, err
	}
	from := max(after+1, info.State.FirstSeq)
	if info.Cluster == nil || from > through || e.replicas.isEmpty(from, through) {
		return nil, nil
	}
	want := currentReplicas(info)
	read := e.readReplicas(ctx, want, from, through)
	if len(read) < len(want) {
		if ctx.Err() != nil {
			return nil, unavailable(ctx.Err())
		}
		e.cfg.Logger.Warn("a deleted range of the stream was not confirmed by all NATS servers",
			"leader", info.Cluster.Leader, "from", from, "to", through)
	}
	if len(read) == 0 {
		return nil, nil
	}
	messages, end := mergeReads(read)
	if len(read) == len(want) {
		e.replicas.recordEmpty(from, end, messages)
	}
	return e.elementsFromReplicas(info.Cluster.Leader, after, min(end, through), messages), nil
}

// mergeReads returns the messages of all replicas in order, and the last sequence up to which all
// replicas were read.
func mergeReads(read map[string]replicaRead) (messages []stored, through uint64) {
	through = 1<<64 - 1
	for _, r := range read {
		messages = append(messages, r.messages...)
		through = min(through, r.through)
	}
	slices.SortFunc(messages, func(a, b stored) int { return cmp.Compare(a.seq, b.seq) })
	return slices.CompactFunc(messages, func(a, b stored) bool { return a.seq == b.seq }), through
}

// elementsFromReplicas returns the log elements of (after, through], including the messages that the
// leader lacks. If there are no such messages, it returns no elements.
func (e *Engine) elementsFromReplicas(leader string, after, through uint64, messages []stored) (elements []*hub.Event) {
	first, events := after+1, 0
	for _, m := range messages {
		if m.seq > through {
			break
		}
		if e.erased.has(m.seq) {
			continue // the leader has deleted the message, but the replica has not deleted it yet
		}
		elements = append(append(elements, e.missing(after, m.seq-1)...), e.element(m))
		after = m.seq
		events++
	}
	if events == 0 {
		return nil
	}
	elements = append(elements, e.missing(after, through)...)
	e.cfg.Logger.Warn("the stream's leader lacks events; the hub reads them from another NATS server",
		"leader", leader, "stream", e.cfg.Stream, "from", first, "to", after, "events", events)
	e.replicas.recordLackingLeader(after, events)
	return elements
}

// readReplicas reads a range from each of the wanted servers. JetStream chooses the replica of a
// consumer, so readReplicas creates consumers until each wanted server was chosen. It omits servers
// that do not answer in time.
func (e *Engine) readReplicas(ctx context.Context, want map[string]bool, from, to uint64) map[string]replicaRead {
	read := make(map[string]replicaRead)
	for range replicaTries {
		if len(read) == len(want) || ctx.Err() != nil {
			break
		}
		unread := func(server string) bool {
			_, known := read[server]
			return want[server] && !known
		}
		if server, got, ok := e.readReplica(ctx, unread, from, to); ok {
			read[server] = got
		}
	}
	return read
}

// readReplica reads from the replica that JetStream chooses, if wanted returns true for its server. It
// reads at most compareMessages messages. The last one may be beyond the range.
func (e *Engine) readReplica(ctx context.Context, wanted func(server string) bool, from, to uint64) (server string, r replicaRead, ok bool) {
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
		return "", r, false
	}
	info := consumer.CachedInfo()
	defer func() {
		deleting, cancel := context.WithTimeout(context.WithoutCancel(ctx), retryWait)
		defer cancel()
		_ = e.js.DeleteConsumer(deleting, e.cfg.Stream, info.Name)
	}()
	if info.Cluster == nil || !wanted(info.Cluster.Leader) {
		return "", r, false
	}
	server = info.Cluster.Leader
	if info.NumPending == 0 {
		return server, replicaRead{through: to}, true
	}
	messages, err := consumer.Fetch(compareMessages, jetstream.FetchContext(ctx))
	if err != nil {
		return "", r, false
	}
	size := 0
	for m := range messages.Messages() {
		meta, err := m.Metadata()
		if err != nil {
			return "", r, false
		}
		seq := meta.Sequence.Stream
		size += len(m.Data())
		r.messages = append(r.messages, stored{seq: seq, time: meta.Timestamp, subject: m.Subject(), header: m.Headers(), data: m.Data()})
		r.through = seq
		if meta.NumPending == 0 {
			r.through = max(seq, to)
		}
		if seq >= to || meta.NumPending == 0 || len(r.messages) == compareMessages || size > replicaBytes {
			return server, r, true
		}
	}
	return "", r, false // not all messages arrived in time
}
