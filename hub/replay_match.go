package hub

import (
	"context"
	"errors"
	"time"
)

// A subscriber that selects few of the events reads the log faster through a MatchReader: in filtered chunks, which
// have only the elements that concern its filters. They are read by a goroutine of their own, so that a slow read
// delays nobody else. If such a read fails or takes long, the subscriber reads all events as the others do.

// matchRule says when filtered chunks are read.
type matchRule struct {
	share    uint64 // fewer than one in so many events match
	chunks   int    // consecutive stretches of at least chunkEvents for which that must hold
	distance uint64 // least number of seqs to read
	cost     uint64 // a filtered chunk may cost as much as so many other chunks for each waiting query
}

var defaultMatchRule = matchRule{share: 64, chunks: 2, distance: 8 * chunkEvents, cost: 8}

const (
	// matchPatience is how long a query may wait for a filtered chunk.
	matchPatience = time.Second
	// After a filtered chunk that failed or came late, a subscriber reads without them for matchBackoff times as long
	// as it has waited.
	matchBackoff = 8
)

// density counts how many of the events that a subscription reads match its filters.
type density struct {
	from    uint64 // position at which counting began
	matched uint64
	sparse  int // consecutive stretches with few matching events
}

// add ends the stretch at a position if it is long enough to be judged.
func (d *density) add(position uint64, rule *matchRule) {
	n := position - d.from
	switch {
	case position < d.from:
	case n < chunkEvents:
		return
	case d.matched*rule.share > n:
		d.sparse = 0
	default:
		d.sparse++
	}
	d.from, d.matched = position, 0
}

// usesFilteredChunks reports whether the subscription should read the log from a position to another in filtered
// chunks.
func (s *Subscription) usesFilteredChunks(from, to uint64) bool {
	rule := &s.hub.replay.matchRule
	return s.foreign == nil && s.scan == nil && s.group != nil && s.density.sparse >= rule.chunks && to >= from+rule.distance
}

// allowsMatching reports whether the query may wait for a filtered chunk. mu must be held.
func (rr *replayReader) allowsMatching(q *logQuery) bool {
	if rr.matcher == nil || !q.filtered || time.Now().Before(rr.slowMatches[q.sub]) {
		return false
	}
	delete(rr.slowMatches, q.sub)
	// A read of all events serves all subscribers that wait, a filtered one serves those with equal filters only.
	waiting := uint64(len(rr.queue.bySub)) + 1
	return q.until-q.seq >= rr.matchRule.cost*chunkEvents*waiting || rr.matchRule.cost == 0
}

// runMatching executes queries for filtered chunks until the context ends. Like run, it rests after each read.
func (rr *replayReader) runMatching(ctx context.Context) {
	rest := time.NewTimer(0)
	defer rest.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-rr.matchWakeup:
		}
		for q := rr.nextMatching(); q != nil; q = rr.nextMatching() {
			begin := time.Now()
			var waited waitTime
			err := rr.readMatching(waited.withContext(ctx), q)
			took := time.Since(begin)
			if err != nil {
				rr.scanInstead(q.sub, took)
			}
			rest.Reset(min(took-waited.total(), matchPatience/2)) // not longer: others wait
			select {
			case <-ctx.Done():
				return
			case <-rest.C:
			}
		}
	}
}

// nextMatching returns the query for a filtered chunk that has waited longest, nil if there is none.
func (rr *replayReader) nextMatching() *logQuery {
	rr.mu.Lock()
	defer rr.mu.Unlock()
	return firstOf(&rr.queue.oldestMatching)
}

// readMatching reads a filtered chunk.
func (rr *replayReader) readMatching(ctx context.Context, q *logQuery) error {
	rr.mu.Lock()
	rr.reserve(1)
	rr.mu.Unlock()
	var c chunk
	var sweeps []sweep
	fetch := func() ([]*Event, error) {
		elements, err := rr.matcher.ReadMatching(ctx, q.set, q.seq, q.until, ReadLimit{Events: chunkEvents, Bytes: chunkBytes})
		if n := len(elements); err == nil && (n == 0 || elements[n-1].ID.Seq <= q.seq) {
			err = errors.New("a read of matching events did not go forward")
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
	rr.settleSweeps(sweeps)
	return nil
}

// newFilteredChunk returns the chunk of the elements that were read for the query.
func newFilteredChunk(q *logQuery, elements []*Event) chunk {
	c := chunk{from: q.seq, to: elements[len(elements)-1].ID.Seq, elements: elements, readAt: time.Now(), set: q.set}
	for _, e := range elements {
		c.size += e.size()
	}
	c.markSuperseded()
	return c
}

// scanInstead makes the query of a subscription, if it waits for a filtered chunk, wait for one with all events. It
// notes that the subscription has waited for some time in vain.
func (rr *replayReader) scanInstead(s *Subscription, waited time.Duration) {
	rr.mu.Lock()
	defer rr.mu.Unlock()
	if q := rr.queue.bySub[s]; q != nil && q.matching {
		rr.moveToScan(q, waited)
	}
}

// moveToScan does what scanInstead does. mu must be held.
func (rr *replayReader) moveToScan(q *logQuery, waited time.Duration) {
	rr.slowMatches[q.sub] = time.Now().Add(matchBackoff * max(waited, matchPatience))
	rr.queue.remove(q.sub)
	q.matching = false
	rr.queue.put(q)
	rr.wake()
}

// scanOverdue moves the queries that have waited too long for filtered chunks.
func (rr *replayReader) scanOverdue(now time.Time) {
	for done := false; !done; {
		rr.mu.Lock()
		for range maxSettled {
			q := firstOf(&rr.queue.oldestMatching)
			if done = q == nil || now.Sub(q.since) < matchPatience; done {
				break
			}
			rr.moveToScan(q, now.Sub(q.since))
		}
		rr.mu.Unlock()
	}
}
