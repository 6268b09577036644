package jetstream

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/trivium-hub/trivium/hub"
)

// Any replica may answer a read. A replica with damaged files reports deleted ranges where other
// replicas have events. Therefore the engine reads a deleted range from the leader before it
// reports a gap.

// deleted returns the log elements for the range (after, before), in which a replica has no messages: the
// leader's events, at most limit, and the elements that deletedRange returns for the sequences that the
// leader lacks too.
func (e *Engine) deleted(ctx context.Context, after, before uint64, limit int) ([]*hub.Event, error) {
	if e.cfg.Replicas == 1 {
		return e.deletedRange(ctx, after, before-1)
	}
	var elements []*hub.Event
	found := 0
	for after+1 < before && found < limit {
		asking, cancel := e.linked(ctx, infoTimeout)
		m, err := e.getFromLeader(asking, getRequest{Seq: after + 1, Next: e.prefix + ">"})
		cancel()
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound):
			// The leader has no message in the range or after it, although the caller has received one.
			// Either a new leader is behind the replica, or retention has removed the message in the
			// meantime.
			if err := e.mustReach(ctx, before); err != nil {
				return nil, err
			}
			m.seq = before
		case err != nil:
			return nil, unavailable(err)
		}
		if end := min(m.seq, before) - 1; end > after {
			missing, err := e.deletedRange(ctx, after, end)
			if err != nil {
				return nil, err
			}
			elements = append(elements, missing...)
			if missing[len(missing)-1].ID.Seq < end {
				return elements, nil // another replica has more events, which are read in the next call
			}
		}
		if m.seq < before {
			elements = append(elements, e.element(m))
			found++
		}
		after = m.seq
	}
	if found > 0 {
		e.replicas.recordLackingReplica(after, found)
	}
	return elements, nil
}

// mustReach returns an error unless the leader's log ends at the sequence or later.
func (e *Engine) mustReach(ctx context.Context, seq uint64) error {
	info, err := e.check(ctx)
	if err == nil && info.State.LastSeq < seq {
		err = unavailable(errors.New("the stream's leader lacks messages that another NATS server has"))
	}
	return err
}
