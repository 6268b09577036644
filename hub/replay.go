package hub

import (
	"cmp"
	"container/list"
	"context"
	"math"
	"slices"
	"sync"
	"time"
)

// Limits of one read of the durable log, and of the cached chunks.
const (
	chunkEvents = 512
	chunkBytes  = 512 << 10
	maxChunks   = 16 // maximum number of chunks that are cached or being read
	// chunkLife is the approximate time for which a chunk is cached. It is short, because the log
	// may remove events that the chunk contains.
	chunkLife = time.Second
)

// replayReader reads the events that are older than the in-memory log, for all subscriptions.
//
// One goroutine executes the queries of all subscriptions, see readPaced. For subscribers that read
// forward, one read fetches several chunks in advance.
//
// maxChunks limits the memory for chunks, including the chunks that are being read, regardless of the number of
// subscribers and of the event sizes. The memory is freed soon after the last read.
type replayReader struct {
	log    Log
	seeker Seeker        // nil if the log is not a Seeker
	wakeup chan struct{} // capacity 1: the queue has a query, or chunks must be read ahead

	matcher     MatchReader   // nil if the log is not a MatchReader
	matchWakeup chan struct{} // capacity 1: the queue has a query for a filtered chunk
	matchRule   matchRule     // static

	mu        sync.Mutex
	chunks    []chunk // cached chunks, the newest last
	reserved  int     // number of chunks that are being read
	queue     queryQueue
	picks     int        // number of queries that nextQuery has picked
	readAhead chunkQuery // the chunk that a subscriber will need next; until is 0 if there is none
	sweptTo   uint64     // the current upward sweep of nextQuery continues with the first chunk query at or after this seq
	losses    lossIndex
	reads     map[*logRead]struct{} // reads that have not returned
	// slowMatches contains the subscribers whose reads of filtered chunks were too slow or failed. Each
	// reads unfiltered chunks until the time that is stored here.
	slowMatches map[*subscriber]time.Time
	yielded     func() // for tests: called by resolveSweeps while mu is not held; static
}

// chunk is a part of the log. It contains all elements of the log in (from, to], except in partial
// chunks.
type chunk struct {
	from, to uint64
	elements []*Event // events and deleted ranges, see Engine.Start
	size     int64
	readAt   time.Time // time at which it was read from the log
	depth    int       // number of consecutive forward reads before this one
	readEnd  uint64    // end of the last chunk that the same read returned
	sparse   bool      // only certain elements were read; the log may have others between them
	set      FilterSet // if not empty, only elements that concern this set were read
}

// chunkQuery is a query of a subscription for the chunk that contains the element after seq.
type chunkQuery struct {
	seq   uint64
	until uint64    // the subscriber does not need chunks past this seq
	seqs  []uint64  // read only the elements with these seqs, beginning with seq+1; nil: read all
	set   FilterSet // a chunk that is filtered by this set answers the query too

	filtered bool      // a filtered chunk is preferred
	since    time.Time // for a filtered chunk: time at which the query was made

	sub *subscriber

	// queryQueue owns these fields.

	number   uint64 // ascends in the order in which queries were enqueued
	matching bool   // the query waits for a filtered chunk
	inOldest *list.Element
}

func newReplayReader(log Log, gapTopics int) *replayReader {
	seek, _ := log.(Seeker)
	matcher, _ := log.(MatchReader)
	return &replayReader{
		matcher:     matcher,
		matchWakeup: make(chan struct{}, 1),
		matchRule:   defaultMatchRule,
		slowMatches: make(map[*subscriber]time.Time),
		seeker:      seek,
		losses:      lossIndex{tree: newTopicTree(gapTopics, 0)},
		log:         log,
		wakeup:      make(chan struct{}, 1),
		queue:       newQueryQueue(),
		reads:       make(map[*logRead]struct{}),
	}
}

// chunkAfter returns the chunk that contains the element after q.seq. If the chunk is not cached, ok is
// false, the query is queued, and Sink.Ready is called when the chunk has been read. If q.seqs is not
// nil, only the elements with these seqs are read, and each is returned as a separate chunk. The
// subscription will read forward until about q.until.
func (rr *replayReader) chunkAfter(s *subscriber, q chunkQuery) (found chunk, ok bool) {
	q.sub = s
	rr.mu.Lock()
	defer rr.mu.Unlock()
	if found, ok = rr.cached(&q); ok {
		rr.queue.remove(s)
		if !rr.allowsMatching(&q) {
			rr.planReadAhead(&found, q.until)
		}
		return found, true
	}
	rr.enqueue(q)
	return chunk{}, false
}

// cached returns the cached chunk that contains the element after q.seq. If there are several, it returns the one with
// the greatest end. mu must be held.
func (rr *replayReader) cached(q *chunkQuery) (found chunk, ok bool) {
	for i := len(rr.chunks) - 1; i >= 0; i-- {
		if c, contains := rr.chunks[i].find(q); contains && (!ok || c.to > found.to) {
			found, ok = c, true
		}
	}
	return found, ok
}

// enqueue queues the query. It replaces an earlier query of the same subscription. mu must be held.
func (rr *replayReader) enqueue(q chunkQuery) {
	if q.matching = rr.allowsMatching(&q); q.matching {
		q.since = time.Now()
	}
	if rr.queue.put(&q) {
		rr.wake()
	}
}

// wake makes run and runMatching check for queries.
func (rr *replayReader) wake() {
	wake(rr.wakeup)
	wake(rr.matchWakeup)
}

// sameAs reports whether both queries have the same result.
func (q *chunkQuery) sameAs(other *chunkQuery) bool {
	return q.seq == other.seq && q.set.Equal(other.set)
}

// dropQuery removes the query of a subscription.
func (rr *replayReader) dropQuery(s *subscriber) {
	rr.mu.Lock()
	defer rr.mu.Unlock()
	rr.queue.remove(s)
	delete(rr.slowMatches, s)
}

// find returns the chunk if it contains the element after the position of the query. For a sparse chunk, it returns a
// chunk with that element only.
func (c *chunk) find(q *chunkQuery) (chunk, bool) {
	seq := q.seq
	if !c.sparse {
		return *c, c.from <= seq && seq < c.to && (c.set.Len() == 0 || c.set.Equal(q.set))
	}
	i, ok := slices.BinarySearchFunc(c.elements, seq+1, func(e *Event, seq uint64) int { return cmp.Compare(e.ID.Seq, seq) })
	if !ok {
		return chunk{}, false
	}
	return chunk{from: seq, to: seq + 1, elements: c.elements[i : i+1]}, true
}

// postpone moves the subscription's query to the end of the queue. It is called after a read for this query has failed;
// reads for other queries may succeed.
func (rr *replayReader) postpone(s *subscriber) {
	rr.mu.Lock()
	defer rr.mu.Unlock()
	rr.queue.postpone(s)
}

// removedTo returns the seq up to which the log is known to have removed all events.
func (rr *replayReader) removedTo() uint64 {
	rr.mu.Lock()
	defer rr.mu.Unlock()
	return rr.losses.removed
}

// run executes queries until the context ends.
func (rr *replayReader) run(ctx context.Context) {
	readPaced(ctx, rr.wakeup, math.MaxInt64, func(ctx context.Context) (more bool, err error) {
		q, ok := rr.nextQuery()
		if !ok {
			return false, nil
		}
		if err = rr.readChunks(ctx, q); err != nil {
			rr.postpone(q.sub)
		}
		return true, err
	})
}

// nextQuery picks the next query. Every second pick belongs to an upward sweep through the log: it is
// the query with the lowest seq above the seq of the sweep's previous pick. The subscribers thus move
// through the log together and share chunks. After the highest seq, the sweep begins again with the
// lowest one.
//
// The other picks alternate between the query for the chunk nearest to the in-memory log and the
// query that has waited longest. Without them, a query could wait forever in a log that grows
// faster than it is read.
func (rr *replayReader) nextQuery() (q chunkQuery, ok bool) {
	rr.mu.Lock()
	defer rr.mu.Unlock()
	oldest := firstOf(&rr.queue.oldest)
	if oldest == nil {
		return rr.takeReadAhead()
	}
	rr.picks++
	switch {
	case rr.picks%2 == 0:
		q = *cmp.Or(rr.queue.chunkFrom(rr.sweptTo), rr.queue.chunkFrom(0))
		rr.sweptTo = q.seq + 1 // a later query for this chunk waits for the next sweep
	case rr.picks%4 == 1:
		q = *rr.queue.newestChunk()
	default:
		q = *oldest
	}
	return q, true
}

// elementsAfter returns the elements of a chunk that contains the element after seq, and the end of the chunk. It reads
// the chunk if it is not cached.
func (rr *replayReader) elementsAfter(ctx context.Context, seq uint64) (elements []*Event, to uint64, err error) {
	q := chunkQuery{seq: seq, until: seq + 1}
	for {
		rr.mu.Lock()
		c, ok := rr.cached(&q)
		elements = slices.Clone(c.elements) // a copy, because erase changes the elements of the chunk
		rr.mu.Unlock()
		if ok {
			return elements, c.to, nil
		}
		if err = rr.readChunks(ctx, q); err != nil {
			return nil, 0, err
		}
	}
}

// readChunks reads the chunks for a query.
func (rr *replayReader) readChunks(ctx context.Context, q chunkQuery) error {
	var chunks []chunk
	var sweeps []sweep
	depth, n := rr.makeRoom(q)
	fetch := func() (elements []*Event, err error) {
		elements, err = rr.readElements(ctx, q, n)
		chunks = splitChunks(q.seq, elements, depth, q.seqs != nil)
		return elements, err
	}
	err := rr.read(fetch, func([]*Event) {
		rr.reserved -= n
		for _, c := range chunks {
			rr.addChunk(c)
			sweeps = append(sweeps, rr.queue.sweeps(&c)...)
		}
	})
	if err != nil {
		rr.release(n)
		return err
	}
	rr.resolveSweeps(sweeps)
	return nil
}

// readElements reads the elements of n chunks, beginning at the position of the query.
func (rr *replayReader) readElements(ctx context.Context, q chunkQuery, n int) ([]*Event, error) {
	limit := ReadLimit{Events: n * chunkEvents, Bytes: n * chunkBytes}
	if q.seqs != nil {
		return rr.seeker.ReadEach(ctx, q.seqs[:min(len(q.seqs), maxSparse)], limit)
	}
	return rr.log.ReadAfter(ctx, q.seq, limit)
}

// addChunk caches a chunk and removes the oldest chunks if a limit is exceeded. mu must be held.
func (rr *replayReader) addChunk(c chunk) {
	room := maxChunks - rr.reserved
	rr.trimChunks(room-1, int64(room)*chunkBytes-c.size)
	rr.chunks = append(rr.chunks, c)
}

// trimChunks removes the oldest chunks until at most limit chunks with at most size bytes in total are
// left. mu must be held.
func (rr *replayReader) trimChunks(limit int, size int64) {
	for i := range slices.Backward(rr.chunks) {
		if size -= rr.chunks[i].size; size < 0 || len(rr.chunks)-i > limit {
			rr.chunks = slices.Delete(rr.chunks, 0, i+1)
			return
		}
	}
}

// dropOldChunks removes chunks that were cached for longer than chunkLife.
func (rr *replayReader) dropOldChunks(now time.Time) {
	rr.mu.Lock()
	defer rr.mu.Unlock()
	rr.chunks = slices.DeleteFunc(rr.chunks, func(c chunk) bool { return now.Sub(c.readAt) > chunkLife })
}
