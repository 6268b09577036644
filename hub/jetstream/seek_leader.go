package jetstream

import (
	"context"
	"errors"
	"slices"

	"github.com/nats-io/nats.go/jetstream"
)

// Any replica may answer a direct get, including a damaged one or one that is behind the leader.
// Therefore the leader must confirm that messages are missing. If the leader has other messages,
// they are returned.

// Limits of a search through the leader's messages.
const (
	walkParts = seekConcurrency // number of parts of a stretch that are searched at the same time
	walkFirst = 64              // smallest length of the first stretch
)

// listing holds the messages of a subject as replicas have reported them.
type listing struct {
	first uint64   // sequence of the first message of the subject
	low   uint64   // found is complete from this sequence on
	found []uint64 // sequences of the newest messages, at most as many as wanted
}

// covers reports whether the listing is complete at seq, so that the replicas have no message there unless
// l.found contains seq.
func (l *listing) covers(seq uint64) bool { return seq < l.first || seq >= l.low }

// confirmNewest returns the sequences of the subject's newest messages up to upTo, as the leader stores them, and at
// most the number that the parameter wanted specifies. To check the listing, it sends the leader concurrent
// requests: one for each listed message, and one for each range between two of them.
func (e *Engine) confirmNewest(ctx context.Context, subject string, l listing, upTo uint64, wanted int) ([]uint64, error) {
	found := l.found
	if e.cfg.Replicas == 1 && (len(found) == wanted || l.low <= l.first) {
		return found, nil
	}
	from := uint64(1)
	if len(found) == wanted {
		from = found[0]
	}
	begin := func(i int) uint64 { // start of the range before message i
		if i == 0 {
			return from
		}
		return found[i-1] + 1
	}
	next, err := concurrently(len(found)+1, func(i int) (uint64, error) {
		seq, err := e.nextFromLeader(ctx, subject, begin(i))
		return min(seq, upTo+1), err
	})
	if err != nil {
		return nil, err
	}
	if slices.Equal(next[:len(found)], found) && next[len(found)] > upTo {
		return found, nil
	}
	var newest []uint64
	for i, end := len(found), upTo; i >= 0 && len(newest) < wanted; i-- {
		if i < len(found) {
			end = found[i]
		}
		if next[i] > end {
			continue // the listing is correct, or the leader has removed the message
		}
		more := []uint64{end}
		if next[i] < end || i == len(found) {
			if more, err = e.newestFromLeader(ctx, subject, next[i], end, wanted-len(newest)); err != nil {
				return nil, err
			}
		}
		newest = append(more, newest...)
	}
	if len(newest) < wanted && from > 1 {
		more, err := e.newestFromLeader(ctx, subject, 1, from-1, wanted-len(newest))
		if err != nil {
			return nil, err
		}
		newest = append(more, newest...)
	}
	e.noteUnlisted(&l, newest)
	return newest, nil
}

// noteUnlisted records the messages that the leader has but the replicas did not list.
func (e *Engine) noteUnlisted(l *listing, newest []uint64) {
	missing, last := 0, uint64(0)
	for _, seq := range newest {
		if _, listed := slices.BinarySearch(l.found, seq); !listed && l.covers(seq) {
			missing, last = missing+1, seq
		}
	}
	if missing > 0 {
		e.replicas.recordLackingReplica(last, missing)
	}
}

// nextFromLeader returns the sequence of the subject's first message at seq or later on the leader. If there
// is none, it returns 1<<64 - 2, a sequence that no message has.
func (e *Engine) nextFromLeader(ctx context.Context, subject string, seq uint64) (uint64, error) {
	m, err := e.getFromLeader(ctx, getRequest{Seq: seq, Next: subject})
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return 1<<64 - 2, nil
	}
	return m.seq, err
}

// newestFromLeader returns the sequences of the subject's newest messages in [from, to] on the leader, at
// most as many as wanted. It searches backwards in stretches, which grow while few messages are found.
func (e *Engine) newestFromLeader(ctx context.Context, subject string, from, to uint64, wanted int) (newest []uint64, err error) {
	limit := wanted/walkParts + walkFirst // maximum number of messages per part
	for span := uint64(max(walkFirst, wanted)); len(newest) < wanted && to >= from; {
		begin := from
		if to-from >= span {
			begin = to - span + 1
		}
		part := (to-begin)/walkParts + 1
		parts, err := concurrently(walkParts, func(i int) ([]uint64, error) {
			low := begin + uint64(i)*part
			return e.walkLeader(ctx, subject, low, min(low+part-1, to), limit)
		})
		if err != nil {
			return nil, err
		}
		got := slices.Concat(parts...)
		if slices.ContainsFunc(parts, func(p []uint64) bool { return len(p) > limit }) {
			span = max(span/4, walkFirst) // a part that is no longer than limit is always searched completely
			continue
		}
		newest = append(got, newest...)
		to = begin - 1
		if len(got) < wanted/2+1 && span < 1<<60 {
			span *= 4
		}
	}
	return newest[len(newest)-min(len(newest), wanted):], nil
}

// walkLeader returns the sequences of the subject's messages in [from, to] on the leader. If there are
// more than limit, it stops early, and the result is longer than limit.
func (e *Engine) walkLeader(ctx context.Context, subject string, from, to uint64, limit int) (found []uint64, err error) {
	for from <= to && len(found) <= limit {
		seq, err := e.nextFromLeader(ctx, subject, from)
		if err != nil {
			return nil, err
		}
		if seq > to {
			break
		}
		found = append(found, seq)
		from = seq + 1
	}
	return found, nil
}
