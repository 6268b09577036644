package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/trivium-hub/trivium/hub"
)

// headerPending is a header of answers to direct gets. It contains the number of later messages of the
// subject.
const headerPending = "Nats-Num-Pending"

// Limits of the search for the newest events of a filter.
const (
	seekTimeout     = 10 * time.Second // a server may have to read much of the stream from its disk
	seekBatch       = 1000             // maximum number of messages per direct get
	seekBytes       = 1 << 20          // maximum bytes of their data, which is not used
	seekConcurrency = 16               // maximum number of direct gets in progress
)

// Newest implements hub.Seeker. JetStream counts the messages of a subject after a sequence without reading them,
// so a few direct gets find where the newest events of each filter begin.
func (e *Engine) Newest(ctx context.Context, set hub.FilterSet, seq uint64, wanted int) ([]uint64, error) {
	ctx, cancel := e.linked(ctx, seekTimeout)
	defer cancel()
	var all []uint64
	for f := range set.All() {
		found, err := e.newest(ctx, e.prefix+f.String(), seq, wanted)
		if err != nil {
			return nil, unavailable(err)
		}
		all = append(all, found...)
	}
	slices.Sort(all)
	all = slices.Compact(all) // removes duplicates, because filters may overlap
	return all[len(all)-min(len(all), wanted):], nil
}

// newest implements Newest for one subject.
func (e *Engine) newest(ctx context.Context, subject string, upTo uint64, wanted int) ([]uint64, error) {
	first, total, err := e.pending(ctx, subject, 1)
	if err != nil {
		return nil, err
	}
	if total == 0 || first > upTo {
		return e.confirmNewest(ctx, subject, listing{first: upTo + 1, low: upTo + 1}, upTo, wanted)
	}
	_, after, err := e.pending(ctx, subject, upTo+1)
	if err != nil {
		return nil, err
	}
	// The search keeps two bounds: [low, upTo] contains at least as many messages as wanted, or all
	// messages of the subject, and [high, upTo] contains fewer than wanted. Messages may be added and
	// removed during the search, so the counts only determine where the listing starts.
	low, high := first, upTo+1
	lowHas, missed := total-min(after, total), 0
	for step := 1; lowHas > uint64(wanted+wanted/4+seekConcurrency) && high-low > 1; step++ {
		at := guess(low, high, lowHas, uint64(wanted), missed)
		if step%3 == 0 {
			at = low + (high-low)/2 // guesses are poor if the messages are unevenly distributed, so bisect
		}
		next, has, err := e.pending(ctx, subject, at)
		if err != nil {
			return nil, err
		}
		if has = has - min(after, has); has < uint64(wanted) {
			high = at
			missed++
		} else {
			low, lowHas = max(at, min(next, high-1)), has
			missed = 0
		}
	}
	found, err := e.list(ctx, subject, low, upTo)
	if err != nil {
		return nil, err
	}
	return e.confirmNewest(ctx, subject, listing{first: first, low: low, found: found[len(found)-min(len(found), wanted):]}, upTo, wanted)
}

// guess estimates a sequence between low and high. If messages are evenly distributed, slightly more messages
// than wanted have a higher sequence. The parameter has is the number of messages whose sequence is at least
// low. The parameter missed is the number of consecutive guesses before this one that were too high: each of
// them makes the result lower.
func guess(low, high, has, wanted uint64, missed int) uint64 {
	share := float64(wanted+wanted/8+seekConcurrency/2) / float64(has)
	span := float64(high-low) * min(math.Ldexp(share, 2*missed), 0.5)
	return max(low+1, min(high-1, high-uint64(span)-1))
}

// pending returns the sequence of the subject's first message at seq or later, and the number of the
// subject's messages that are not older than that message.
func (e *Engine) pending(ctx context.Context, subject string, seq uint64) (first, count uint64, err error) {
	m, err := e.getDirect(ctx, getRequest{Seq: seq, Next: subject, Batch: 1})
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return 0, 0, nil
	} else if err != nil {
		return 0, 0, err
	}
	first, err = headerSeq(m, jetstream.SequenceHeader)
	left, err2 := headerSeq(m, headerPending)
	return first, left + 1, errors.Join(err, err2)
}

// getDirect reads one message from any replica.
func (e *Engine) getDirect(ctx context.Context, r getRequest) (*nats.Msg, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	m, err := e.conn.RequestWithContext(ctx, "$JS.API.DIRECT.GET."+e.cfg.Stream, body)
	if err != nil {
		return nil, err
	}
	switch status := m.Header.Get("Status"); status {
	case "":
		return m, nil
	case "404":
		return nil, jetstream.ErrMsgNotFound
	default:
		return nil, errors.New("direct get: " + status + " " + m.Header.Get("Description"))
	}
}

// list returns the sequences of the subject's messages in [from, to].
func (e *Engine) list(ctx context.Context, subject string, from, to uint64) (found []uint64, err error) {
	for from <= to {
		batch, more, err := e.listBatch(ctx, getRequest{Seq: from, Next: subject, Batch: seekBatch, MaxBytes: seekBytes})
		if err != nil {
			return nil, err
		}
		for _, seq := range batch {
			if seq > to {
				return found, nil
			}
			found = append(found, seq)
		}
		if !more {
			break
		}
		from = batch[len(batch)-1] + 1
	}
	return found, nil
}

// listBatch returns the sequences in the answer to one direct get, and reports whether there are
// more.
func (e *Engine) listBatch(ctx context.Context, r getRequest) (found []uint64, more bool, err error) {
	more, err = e.eachAnswer(ctx, r, func(_ *nats.Msg, seq uint64) { found = append(found, seq) })
	return found, more, err
}

// concurrently calls get for the numbers 0 to n-1, several at a time. If a call fails, it returns
// the results before the first error, and that error.
func concurrently[T any](n int, get func(i int) (T, error)) ([]T, error) {
	results, errs := make([]T, n), make([]error, n)
	turns := make(chan struct{}, seekConcurrency)
	var running sync.WaitGroup
	for i := range n {
		turns <- struct{}{}
		running.Go(func() {
			defer func() { <-turns }()
			results[i], errs[i] = get(i)
		})
	}
	running.Wait()
	for i, err := range errs {
		if err != nil {
			return results[:i], err
		}
	}
	return results, nil
}

// ReadEach implements hub.Seeker with one direct get per event, several at a time.
func (e *Engine) ReadEach(ctx context.Context, seqs []uint64, limit hub.ReadLimit) ([]*hub.Event, error) {
	ctx, cancel := e.linked(ctx, readTimeout)
	defer cancel()
	var elements []*hub.Event
	for size := 0; len(elements) < len(seqs) && len(elements) < limit.Events && size < limit.Bytes; {
		next := seqs[len(elements):min(len(seqs), len(elements)+seekConcurrency)]
		got, err := concurrently(len(next), func(i int) (*hub.Event, error) { return e.readOne(ctx, next[i]) })
		if elements = append(elements, got...); err != nil && len(elements) == 0 {
			return nil, unavailable(err)
		} else if err != nil {
			break
		}
		for _, event := range got {
			size += len(event.Data) + messageOverhead
		}
	}
	return elements, nil
}

// readOne returns the log element at a sequence. If the replica that answers lacks the message,
// readOne reads it from the leader.
func (e *Engine) readOne(ctx context.Context, seq uint64) (*hub.Event, error) {
	m, err := e.getDirect(ctx, getRequest{Seq: seq})
	if err == nil {
		return e.got(m, seq), nil
	}
	if !errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, err
	}
	kept, err := e.getFromLeader(ctx, getRequest{Seq: seq})
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		missing, err := e.deletedRange(ctx, seq-1, seq)
		if err != nil {
			return nil, err
		}
		return missing[len(missing)-1], nil
	} else if err != nil {
		return nil, err
	}
	return e.element(kept), nil
}
