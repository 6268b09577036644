package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// The replicas of a stream should contain the same messages. After data loss on several servers at
// once, or with damaged files, they may differ permanently, and NATS does not detect it. The engine
// therefore compares them in the background: the newest messages every few minutes, and older
// messages when a read has shown that a server lacks some. The messages of the majority of servers
// are considered correct. A leader that differs from them is asked to step down, because hubs rely
// on the leader.

// Intervals and limits of the comparison.
const (
	compareInterval = 5 * time.Minute
	compareLeast    = 30 * time.Second // shortest pause between two comparisons
	compareMessages = 200              // number of messages compared on each replica
)

// replicas records the differences that were found between the replicas of the stream.
type replicas struct {
	found chan uint64 // capacity 1: the sequence of a message that a server lacks

	mu         sync.Mutex
	differ     map[string]uint64 // number of failed comparisons by server name
	damaged    map[string]uint64 // servers that failed their last comparison, with the sequence up to which messages were compared
	served     uint64            // number of events read from the leader because a replica lacked them
	fromOthers uint64            // number of events read from another replica because the leader lacked them
	empty      []stretch         // ranges in which no replica has messages, at most maxEmpty, oldest first
}

func newReplicas() replicas {
	return replicas{
		found: make(chan uint64, 1), differ: make(map[string]uint64), damaged: make(map[string]uint64),
	}
}

// recordLackingReplica records that a replica lacked some events of the leader. events is their number, and seq
// the sequence of the last one.
func (r *replicas) recordLackingReplica(seq uint64, events int) {
	r.mu.Lock()
	r.served += uint64(events)
	r.mu.Unlock()
	r.requestComparison(seq)
}

// recordLackingLeader records that the leader lacked some events of another replica. events is their
// number, and seq the sequence of the last one.
func (r *replicas) recordLackingLeader(seq uint64, events int) {
	r.mu.Lock()
	r.fromOthers += uint64(events)
	r.mu.Unlock()
	r.requestComparison(seq)
}

// checkLeader requests a comparison if the new leader is a server that differed in its last
// comparison.
func (r *replicas) checkLeader(leader string) {
	r.mu.Lock()
	seq, damaged := r.damaged[leader]
	r.mu.Unlock()
	if damaged {
		r.requestComparison(seq)
	}
}

// requestComparison requests a comparison of the messages up to seq.
func (r *replicas) requestComparison(seq uint64) {
	select {
	case r.found <- seq:
	default:
	}
}

// compareReplicas compares the replicas once per compareInterval, and soon after a read has shown
// that a server lacks messages. It returns when the context ends.
func (e *Engine) compareReplicas(ctx context.Context) {
	timer := time.NewTimer(compareInterval)
	defer timer.Stop()
	for {
		seq := uint64(0) // zero: the newest messages
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

// compareOnce compares the messages up to seq, or the newest ones if seq is 0, on all replicas that
// have caught up. If the leader differs in two comparisons with a pause between them, it is asked
// to step down.
func (e *Engine) compareOnce(ctx context.Context, seq uint64) {
	if leader, better := e.compareCopies(ctx, seq); better == "" || leader == "" {
		return
	}
	select {
	case <-ctx.Done():
		return
	case <-time.After(stallTime): // by then, all messages in progress have arrived
	}
	if leader, better := e.compareCopies(ctx, seq); better != "" {
		e.stepDown(ctx, leader, better)
	}
}

// compareCopies logs and counts the servers whose messages differ from the messages of the majority. If
// the leader is one of them, it returns the name of a server of the majority.
func (e *Engine) compareCopies(ctx context.Context, seq uint64) (leader, better string) {
	info, err := e.check(ctx)
	if err != nil || info.Cluster == nil {
		return "", ""
	}
	if seq == 0 {
		seq = info.State.LastSeq
	}
	from := max(info.State.FirstSeq, seq-min(seq, compareMessages)+1)
	leader = info.Cluster.Leader
	want := currentReplicas(info)
	want[leader] = true
	held := make(map[string]replicaMessages)
	for server, r := range e.readReplicas(ctx, want, from, seq) {
		held[server] = e.messagesOf(r, seq)
	}
	if info, err = e.check(ctx); err != nil || len(held) < 2 || e.learnErasures(ctx) != nil {
		return "", ""
	}
	right := e.majorityServer(held, leader, info.State.FirstSeq)
	if right == "" {
		e.warnNoMajority(held, leader, from, seq)
		return leader, ""
	}
	for _, server := range slices.Sorted(maps.Keys(held)) {
		missing, other := held[right].compare(held[server], info.State.FirstSeq, &e.erased)
		if !e.replicas.recordComparison(server, seq, missing+other > 0) {
			continue
		}
		e.cfg.Logger.Warn("a NATS server's copy of the stream differs from the majority of replicas: stop the server, delete its copy of the stream and start it again",
			"server", server, "leader", leader, "stream", e.cfg.Stream, "from", from, "to", seq, "missing", missing, "different", other)
		if server == leader {
			better = right
		}
	}
	return leader, better
}

// warnNoMajority logs and counts the servers that differ from each other if no majority agrees.
func (e *Engine) warnNoMajority(held map[string]replicaMessages, leader string, from, to uint64) {
	servers := slices.Sorted(maps.Keys(held))
	e.replicas.mu.Lock()
	for _, server := range servers {
		e.replicas.differ[server]++
	}
	e.replicas.mu.Unlock()
	e.cfg.Logger.Warn("the copies of the stream on the NATS servers differ, and no majority agrees: keep all copies until all servers run and the log names one of them",
		"servers", strings.Join(servers, ","), "leader", leader, "stream", e.cfg.Stream, "from", from, "to", to)
}

// recordComparison records whether a server differed in a comparison of the messages up to seq, and
// returns differs. A server that differed counts as damaged until a comparison up to the same seq finds
// no difference.
func (r *replicas) recordComparison(server string, seq uint64, differs bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if at, known := r.damaged[server]; known && at == seq && !differs {
		delete(r.damaged, server)
	}
	if differs {
		r.differ[server]++
		r.damaged[server] = seq
	}
	return differs
}

// majorityServer returns a server that agrees with the majority of replicas, preferably the leader. It
// returns "" if no majority agrees.
func (e *Engine) majorityServer(held map[string]replicaMessages, leader string, first uint64) (right string) {
	for server, mine := range held {
		agree := 0
		for _, other := range held {
			if missing, different := mine.compare(other, first, &e.erased); missing+different == 0 {
				agree++
			}
		}
		if 2*agree > e.cfg.Replicas && (right == "" || server == leader) {
			right = server
		}
	}
	return right
}

// stepDown asks a leader that differs from the majority to step down in favor of another server.
func (e *Engine) stepDown(ctx context.Context, leader, better string) {
	ctx, cancel := e.linked(ctx, infoTimeout)
	defer cancel()
	err := e.requestStepDown(ctx, better)
	if err != nil {
		e.cfg.Logger.Warn("the leader's copy of the stream differs from the copies on most servers, and the request to step down failed: stop the leader's server",
			"server", leader, "stream", e.cfg.Stream, "error", err.Error())
		return
	}
	e.cfg.Logger.Warn("the leader's copy of the stream differs from the copies on most servers; the leader was asked to step down",
		"server", leader, "preferred", better, "stream", e.cfg.Stream)
}

func (e *Engine) requestStepDown(ctx context.Context, preferred string) error {
	body, err := json.Marshal(map[string]any{"placement": map[string]string{"preferred": preferred}})
	if err != nil {
		return err
	}
	m, err := e.conn.RequestWithContext(ctx, "$JS.API.STREAM.LEADER.STEPDOWN."+e.cfg.Stream, body)
	if err != nil {
		return err
	}
	var answer struct {
		Error   *jetstream.APIError `json:"error"`
		Success bool                `json:"success"`
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return err
	}
	if answer.Error != nil {
		return answer.Error
	}
	if !answer.Success {
		return errors.New("the leader refused to step down")
	}
	return nil
}

// messagesOf returns the messages of a replica whose sequence is not higher than the parameter to.
func (e *Engine) messagesOf(r replicaRead, to uint64) replicaMessages {
	h := make(replicaMessages)
	for _, m := range r.messages {
		if m.seq <= to {
			h[m.seq] = e.anchorOf(m.seq, m.time, m.subject, m.data)
		}
	}
	return h
}

// replicaMessages are the messages of one replica in a range, by sequence.
type replicaMessages map[uint64]anchor

// compare compares the messages with the messages of another replica. It ignores erased messages, and
// messages whose sequence is lower than first. missing is the number of messages that the other replica
// lacks. different is the number of messages that only the other replica has, or has with other content.
func (h replicaMessages) compare(other replicaMessages, first uint64, erased *erasures) (missing, different int) {
	for seq, a := range h {
		switch b, ok := other[seq]; {
		case seq < first || erased.has(seq): // retention has removed the message in the meantime, or the message was erased
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
