package jetstream

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A NATS server can lose the newest messages of its store in a power loss, or when the store is
// restored from an older copy. It then assigns the lost sequences to other events, and an event ID
// would identify two events. The engine therefore remembers the newest messages that it has delivered.
// After every reconnect and every change of the leader, and before it publishes anything, it compares
// them with the leader's messages. If any differs, a new epoch begins.

// maxAnchors is the number of remembered messages. More than one is remembered, because single
// messages can be deleted from a stream.
const maxAnchors = 16

// anchor identifies a delivered message.
type anchor struct {
	seq    uint64
	time   int64  // when JetStream stored it, in nanoseconds since 1970
	digest uint64 // digest of the subject and the data
}

func (e *Engine) anchorOf(seq uint64, at time.Time, subject string, data []byte) anchor {
	var h maphash.Hash
	h.SetSeed(e.continuity.seed)
	_, _ = h.WriteString(subject)
	_ = h.WriteByte(0)
	_, _ = h.Write(data)
	return anchor{seq: seq, time: at.UnixNano(), digest: h.Sum64()}
}

// continuity records whether the stream is known to still contain the delivered events.
type continuity struct {
	seed maphash.Seed // static

	changes atomic.Uint64 // number of changes of the stream's leader that the engine has detected

	checking sync.Mutex // held during requests to the leader; taken before mu

	mu      sync.Mutex
	anchors [maxAnchors]anchor // a ring buffer
	noted   int                // number of calls of note
	checked checkpoint         // connection and leader of the last successful comparison
	leader  string             // the last known leader of the stream
}

// checkpoint identifies a connection and a leader of the stream. After a successful verify, the stream
// is not compared with the delivered messages again until either changes.
type checkpoint struct{ reconnects, changes uint64 }

// note remembers a delivered message as an anchor.
func (c *continuity) note(a anchor) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.anchors[c.noted%maxAnchors] = a
	c.noted++
}

// newest returns the remembered messages in order, beginning with the newest.
func (c *continuity) newest() []anchor {
	c.mu.Lock()
	defer c.mu.Unlock()
	anchors := make([]anchor, 0, maxAnchors)
	for i := c.noted - 1; i >= max(0, c.noted-maxAnchors); i-- {
		anchors = append(anchors, c.anchors[i%maxAnchors])
	}
	return anchors
}

// recordLeader records the leader that the server named in its description of the stream, and counts a
// change of the leader if the server named another leader before.
func (c *continuity) recordLeader(info *jetstream.StreamInfo) {
	if info.Cluster == nil || info.Cluster.Leader == "" {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.leader != "" && c.leader != info.Cluster.Leader {
		c.changes.Add(1)
	}
	c.leader = info.Cluster.Leader
}

// watchLeader subscribes to notices about elected leaders. If the NATS user has no right to
// subscribe, the engine detects a new leader within watchInterval instead.
func (e *Engine) watchLeader() error {
	_, err := e.conn.Subscribe("$JS.EVENT.ADVISORY.STREAM.LEADER_ELECTED."+e.cfg.Stream, func(*nats.Msg) { e.continuity.changes.Add(1) })
	return err
}

func (e *Engine) checkpoint() checkpoint {
	return checkpoint{e.conn.Stats().Reconnects, e.continuity.changes.Load()}
}

// verified reports whether verify has succeeded since the last reconnect and the last change of the
// leader.
func (e *Engine) verified() bool {
	now := e.checkpoint()
	e.continuity.mu.Lock()
	defer e.continuity.mu.Unlock()
	return e.continuity.checked == now
}

// verify compares the stream with the delivered events, unless this was done for the current connection and leader.
// If they differ, the engine fails.
func (e *Engine) verify(ctx context.Context) error {
	if e.verified() {
		return nil
	}
	e.continuity.checking.Lock()
	defer e.continuity.checking.Unlock()
	if e.verified() {
		return nil
	}
	now := e.checkpoint()
	if _, err := e.checkReaches(ctx, e.follows.reached()); err != nil {
		return err
	}
	if err := e.compare(ctx); err != nil {
		return err
	}
	e.continuity.mu.Lock()
	defer e.continuity.mu.Unlock()
	e.continuity.checked = now
	return nil
}

// retryVerify calls verify until it succeeds, publishing is impossible, or timeouts.ack is over. A single
// failure is not final, because a leader that does not answer one request is usually only slow.
func (e *Engine) retryVerify(ctx context.Context, verify func(context.Context) error) error {
	ctx, cancel := e.linked(ctx, e.timeouts.ack)
	defer cancel()
	for {
		err := verify(ctx)
		if err == nil || e.publishUnavailable() != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(retryWait):
		}
	}
}

// compare checks whether the stream still contains the delivered messages. It compares only the newest
// remembered message that is still in the stream. If that message is unchanged, so are all earlier
// ones, because sequences are assigned in order.
func (e *Engine) compare(ctx context.Context) error {
	for _, a := range e.continuity.newest() {
		same, err := e.hasAnchor(ctx, a)
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound):
			continue // removed by retention, or deleted
		case err != nil:
			return unavailable(err)
		case !same:
			return e.diverged(ctx, fmt.Sprintf("has a different message at sequence %d than the one delivered", a.seq))
		}
		return nil
	}
	return nil
}

// hasAnchor reports whether the leader's message with the anchor's sequence is the message that was
// delivered.
func (e *Engine) hasAnchor(ctx context.Context, a anchor) (bool, error) {
	ctx, cancel := e.linked(ctx, infoTimeout)
	defer cancel()
	m, err := e.getFromLeader(ctx, getRequest{Seq: a.seq})
	if err != nil {
		return false, err
	}
	return e.anchorOf(m.seq, m.time, m.subject, m.data) == a, nil
}

// reused begins a new epoch and makes the engine fail. It is called when JetStream has assigned a
// sequence for the second time.
func (e *Engine) reused(ctx context.Context, seq, delivered uint64) error {
	return e.diverged(ctx, fmt.Sprintf("assigned sequence %d again after %d was delivered", seq, delivered))
}

// diverged begins a new epoch of the stream and makes the engine fail, so that the hub must be
// restarted.
func (e *Engine) diverged(ctx context.Context, how string) error {
	e.follows.close() // no more events may be delivered under the old epoch
	return e.beginEpoch(ctx, fmt.Errorf("the stream %q %s: it has lost events and continues in a new epoch", e.cfg.Stream, how))
}

// beginEpoch writes a new epoch to the stream, and makes the engine fail with the reason.
func (e *Engine) beginEpoch(ctx context.Context, reason error) error {
	info, err := e.check(ctx) // fails if another hub has already begun a new epoch
	if err != nil {
		e.fail(reason)
		return err
	}
	info.Config.Metadata[metaEpoch] = newEpoch().String()
	e.mu.Lock()
	e.endsEpoch = reason // other goroutines may read the new epoch before this goroutine has received the server's answer
	e.mu.Unlock()
	_, err = e.js.UpdateStream(ctx, info.Config)
	e.fail(errors.Join(reason, err))
	return unavailable(errors.New("the stream was replaced"))
}

// endOfEpoch returns the reason why the stream's epoch differs from the engine's.
func (e *Engine) endOfEpoch() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.endsEpoch != nil {
		return e.endsEpoch
	}
	return fmt.Errorf("the stream %q was created anew", e.cfg.Stream)
}
