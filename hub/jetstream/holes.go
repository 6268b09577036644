package jetstream

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/trivium-hub/trivium/hub"
)

// Events are read from whichever replica answers. A replica whose files are damaged reports deleted
// ranges where the others have events. So the leader is asked before a deleted range becomes a gap.

// deleted returns the elements of the log between two sequences, both excluded, of which a replica has
// nothing: a hole if the leader has nothing either, else the leader's events, as many as the limit allows.
func (e *Engine) deleted(ctx context.Context, after, before uint64, limit int) ([]*hub.Event, error) {
	if e.cfg.Replicas == 1 {
		return []*hub.Event{e.hole(before - 1)}, nil
	}
	var elements []*hub.Event
	found := 0
	for after+1 < before && found < limit {
		asking, cancel := e.linked(ctx, infoTimeout)
		m, err := e.getLeader(asking, getRequest{Seq: after + 1, Next: e.prefix + ">"})
		cancel()
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound):
			// The replica has a message behind the range, so this leader is a new one that lags behind, or
			// retention has removed that message since.
			if elements, err = e.deletedToEnd(ctx, elements, before); err != nil {
				return nil, err
			}
			after = before
			continue
		case err != nil:
			return nil, away(err)
		case m.seq >= before:
			elements = append(elements, e.hole(before-1))
		default:
			if m.seq > after+1 {
				elements = append(elements, e.hole(m.seq-1))
			}
			elements = append(elements, e.eventOf(m))
			found++
		}
		after = m.seq
	}
	if found > 0 {
		e.replicas.lacks(after, found)
	}
	return elements, nil
}

// deletedToEnd ends the elements with a hole if the log has nothing left before the sequence.
func (e *Engine) deletedToEnd(ctx context.Context, elements []*hub.Event, before uint64) ([]*hub.Event, error) {
	info, err := e.check(ctx)
	if err != nil {
		return nil, err
	}
	if info.State.LastSeq < before {
		return nil, away(errors.New("the leader lags behind a replica"))
	}
	return append(elements, e.hole(before-1)), nil
}

// eventOf decodes a message of the leader; a hole where it is no event.
func (e *Engine) eventOf(m stored) *hub.Event {
	if event := e.decode(m.header, m.data, m.subject, m.seq, m.time); event != nil {
		return event
	}
	return e.hole(m.seq)
}
