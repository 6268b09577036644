package hub

import (
	"context"
	"errors"
	"time"
)

// A subscriber whose filters match few events reads the log faster through a MatchReader, in
// filtered chunks. A filtered chunk contains only the elements that concern the filters. A separate
// goroutine reads them, so that a slow read does not delay other subscribers. If such a read fails
// or times out, the subscriber reads unfiltered chunks, as other subscribers do.

// matchRule determines when filtered chunks are read.
type matchRule struct {
	share    uint64 // filtered chunks are read if at most 1/share of the events match
	chunks   int32  // number of consecutive stretches of at least chunkEvents events that must match so rarely
	distance uint64 // minimum number of seqs that the subscriber has still to read
	cost     uint64 // number of unfiltered chunks that a filtered read must at least replace, per waiting query
}

var defaultMatchRule = matchRule{share: 64, chunks: 2, distance: 8 * chunkEvents, cost: 8}

const (
	// matchTimeout limits how long a query may wait for a filtered chunk.
	matchTimeout = time.Second
	// If the read of a filtered chunk fails or times out, the subscriber reads unfiltered chunks for
	// matchBackoff times as long as it has waited.
	matchBackoff = 8
)

// density measures how many of the events that a subscription reads match its filters.
type density struct {
	from    uint64 // position at which the current stretch begins
	matched uint32
	sparse  int32 // number of consecutive stretches with few matching events
}

// add ends the current stretch at the position if the stretch is long enough.
func (d *density) add(position uint64, rule *matchRule) {
	n := position - d.from
	switch {
	case position < d.from:
	case n < chunkEvents:
		return
	case uint64(d.matched)*rule.share > n:
		d.sparse = 0
	default:
		d.sparse++
	}
	d.from, d.matched = position, 0
}

// allowsMatching reports whether the query may wait for a filtered chunk. mu must be held.
func (rr *replayReader) allowsMatching(q *chunkQuery) bool {
	if rr.matcher == nil || !q.filtered || time.Now().Before(rr.slowMatches[q.sub]) {
		return false
	}
	delete(rr.slowMatches, q.sub)
	// An unfiltered read serves all waiting subscribers. A filtered read serves only subscribers with
	// equal filters.
	waiting := uint64(len(rr.queue.bySub)) + 1
	return q.until-q.seq >= rr.matchRule.cost*chunkEvents*waiting || rr.matchRule.cost == 0
}

// runMatching executes queries for filtered chunks until the context ends. Its pauses are short,
// because other subscribers' queries may be waiting.
func (rr *replayReader) runMatching(ctx context.Context) {
	readPaced(ctx, rr.matchWakeup, matchTimeout/2, func(ctx context.Context) (more bool, err error) {
		q := rr.nextMatching()
		if q == nil {
			return false, nil
		}
		begin := time.Now()
		if rr.readMatching(ctx, q) != nil {
			rr.readUnfiltered(q.sub, time.Since(begin))
		}
		return true, nil
	})
}

// nextMatching returns the query that has waited longest for a filtered chunk, or nil if there is none.
func (rr *replayReader) nextMatching() *chunkQuery {
	rr.mu.Lock()
	defer rr.mu.Unlock()
	return firstOf(&rr.queue.oldestMatching)
}

// readMatching reads a filtered chunk.
func (rr *replayReader) readMatching(ctx context.Context, q *chunkQuery) error {
	rr.mu.Lock()
	rr.reserve(1)
	rr.mu.Unlock()
	var c chunk
	var sweeps []sweep
	fetch := func() ([]*Event, error) {
		elements, err := rr.matcher.ReadMatching(ctx, q.set, q.seq, q.until, ReadLimit{Events: chunkEvents, Bytes: chunkBytes})
		if n := len(elements); err == nil && (n == 0 || elements[n-1].ID.Seq <= q.seq) {
			err = errors.New("a read of matching events made no progress")
		}
		if err == nil {
			c = newFilteredChunk(q, elements)
		}
		return elements, err
	}
	err := rr.read(fetch, func([]*Event) {
		rr.reserved--
		rr.addChunk(c)
		sweeps = rr.queue.sweeps(&c)
	})
	if err != nil {
		rr.release(1)
		return err
	}
	rr.resolveSweeps(sweeps)
	return nil
}

// newFilteredChunk returns the chunk that consists of the elements that were read for the query.
func newFilteredChunk(q *chunkQuery, elements []*Event) chunk {
	c := chunk{from: q.seq, to: elements[len(elements)-1].ID.Seq, elements: elements, readAt: time.Now(), set: q.set}
	for _, e := range elements {
		c.size += e.size()
	}
	c.markSuperseded()
	return c
}

// readUnfiltered changes the query of a subscriber that waits for a filtered chunk, so that it waits for an
// unfiltered one. The longer the subscriber has waited without a result, the longer it then reads only
// unfiltered chunks.
func (rr *replayReader) readUnfiltered(s *subscriber, waited time.Duration) {
	rr.mu.Lock()
	defer rr.mu.Unlock()
	if q := rr.queue.bySub[s]; q != nil && q.matching {
		rr.moveToUnfiltered(q, waited)
	}
}

// moveToUnfiltered moves the query to the queue for unfiltered chunks, as readUnfiltered does. mu must be
// held.
func (rr *replayReader) moveToUnfiltered(q *chunkQuery, waited time.Duration) {
	rr.slowMatches[q.sub] = time.Now().Add(matchBackoff * max(waited, matchTimeout))
	rr.queue.remove(q.sub)
	q.matching = false
	rr.queue.put(q)
	rr.wake()
}

// moveOverdue finds all queries that have waited for filtered chunks longer than matchTimeout, and
// moves them to the queries for unfiltered chunks.
func (rr *replayReader) moveOverdue(now time.Time) {
	for done := false; !done; {
		rr.mu.Lock()
		for range maxResolved {
			q := firstOf(&rr.queue.oldestMatching)
			if done = q == nil || now.Sub(q.since) < matchTimeout; done {
				break
			}
			rr.moveToUnfiltered(q, now.Sub(q.since))
		}
		rr.mu.Unlock()
	}
}
