package hub

import (
	"cmp"
	"container/list"
	"context"
	"slices"
	"sync"
	"time"
)

// Limits of one read of the durable log.
const (
	chunkEvents = 512
	chunkBytes  = 512 << 10
	maxChunks   = 16 // cached or being read, in total
	// chunkLife is about how long a chunk is cached. It is short, because a chunk may have events that the log has
	// removed since.
	chunkLife = time.Second
	// logRetry is the delay before a read that failed is retried.
	logRetry = 250 * time.Millisecond
)

// replayReader reads for subscriptions what the in-memory log does not have: events that are older than it, and the
// positions of starts in the durable log.
//
// One goroutine executes the queries of all subscriptions. After each read it pauses for as long as the read took,
// so that replays leave half of the processor time to live subscribers. Time spent waiting for a server in another
// process is not counted, see AddWaitTime. For subscribers that read forward, it reads several chunks at once and
// ahead.
//
// The memory for chunks, those being read included, is limited by maxChunks, regardless of the number of
// subscribers and of the event sizes. It is freed soon after the last read.
type replayReader struct {
	log    Log
	seeker Seeker        // nil if the log is not a Seeker
	wakeup chan struct{} // capacity 1: the queue has a query, or chunks are to be read ahead

	matcher     MatchReader   // nil if the log is not a MatchReader
	matchWakeup chan struct{} // capacity 1: the queue has a query for a filtered chunk
	matchRule   matchRule     // static

	mu        sync.Mutex
	chunks    []chunk // cached; the newest last
	reserved  int     // chunks that are being read
	queue     queryQueue
	results   map[*Subscription]queryResult // of queries for positions, until the subscription takes them
	picks     int                           // number of queries that nextQuery has picked
	readAhead logQuery                      // the chunk that a subscriber will need next; until is 0 if there is none
	sweptTo   uint64                        // the upward sweep of nextQuery continues with the first chunk query at or after this seq
	losses    lossIndex
	reads     map[*logRead]struct{} // running
	// slowMatches contains the subscriptions that read unfiltered chunks for a while, and the end of that time.
	slowMatches map[*Subscription]time.Time
	yielded     func() // for tests: called by resolveInPieces while mu is not held; static
}

// chunk is a range of the log. Its elements are all that the log has in (from, to].
type chunk struct {
	from, to uint64
	elements []*Event // events and deleted ranges, see Engine.Start
	size     int64
	readAt   time.Time // when it was read from the log
	depth    int       // number of consecutive forward reads before this one
	readEnd  uint64    // end of the last chunk that the same read returned
	sparse   bool      // only requested elements were read; the log may have others between them
	set      FilterSet // if not empty, only elements that concern this set were read
}

// logQuery is a query of a subscription that the log has to answer: for a chunk or for a position.
type logQuery struct {
	kind   queryKind
	seq    uint64    // for queryChunk: the position before the chunk; for queryLastSeq and queryNewest: a seq
	since  time.Time // for queryTime; for a filtered chunk: when the query was made
	set    FilterSet // for queryCount and queryNewest; for queryChunk: chunks filtered by this set suffice
	enough int
	until  uint64   // for queryChunk: the subscriber does not need chunks past this seq
	seqs   []uint64 // for queryChunk: read only the elements with these seqs, of which the first is seq+1; nil: read all

	filtered bool // for queryChunk: a filtered chunk is preferred

	sub   *Subscription
	picks int // replayReader.picks when the query was made; in the result of nextQuery, when it was picked

	// owned by queryQueue

	number                      uint64 // ascends in the order in which queries were enqueued
	matching                    bool   // it waits for a filtered chunk
	inOldest, inNumbers, inSame *list.Element
}

type queryKind uint8

const (
	queryChunk queryKind = iota
	queryLastSeq
	queryTime  // the position before the first event since a time
	queryCount // the number of events that match a set
	queryNewest
)

// queryResult is the result of a query that is not a queryChunk.
type queryResult struct {
	n    uint64
	seqs []uint64 // for queryNewest
}

func newReplayReader(log Log, gapTopics int) *replayReader {
	seek, _ := log.(Seeker)
	matcher, _ := log.(MatchReader)
	return &replayReader{
		matcher:     matcher,
		matchWakeup: make(chan struct{}, 1),
		matchRule:   defaultMatchRule,
		slowMatches: make(map[*Subscription]time.Time),
		seeker:      seek,
		losses:      lossIndex{tree: newTopicTree(gapTopics, 0)},
		log:         log,
		wakeup:      make(chan struct{}, 1),
		queue:       newQueryQueue(),
		results:     make(map[*Subscription]queryResult),
		reads:       make(map[*logRead]struct{}),
	}
}

// chunkAfter returns the chunk that contains the element after q.seq. If the chunk is not cached, ok is false, the
// query is queued, and Sink.Ready is called when the chunk has been read. If q.seqs is not nil, only these elements
// are read, each as a chunk of its own. The subscription will read forward to about q.until.
func (rr *replayReader) chunkAfter(s *Subscription, q logQuery) (found chunk, ok bool) {
	q.kind, q.sub = queryChunk, s
	rr.mu.Lock()
	defer rr.mu.Unlock()
	for i := len(rr.chunks) - 1; i >= 0; i-- {
		if c, contains := rr.chunks[i].find(&q); contains && (!ok || c.to > found.to) {
			found, ok = c, true
		}
	}
	if ok {
		rr.queue.remove(s)
		if !rr.allowsMatching(&q) {
			rr.planReadAhead(&found, q.until)
		}
		return found, true
	}
	rr.enqueue(q)
	return chunk{}, false
}

// queryNumber returns the result of a query for a number. If the result is not there yet, ok is false and the query
// is queued, as by chunkAfter.
func (rr *replayReader) queryNumber(s *Subscription, q logQuery) (n uint64, ok bool) {
	r, ok := rr.query(s, q)
	return r.n, ok
}

func (rr *replayReader) query(s *Subscription, q logQuery) (r queryResult, ok bool) {
	rr.mu.Lock()
	defer rr.mu.Unlock()
	if r, ok = rr.results[s]; ok {
		delete(rr.results, s)
		return r, true
	}
	q.sub = s
	rr.enqueue(q)
	return queryResult{}, false
}

// enqueue queues the query. It replaces an earlier query of the same subscription. mu must be held.
func (rr *replayReader) enqueue(q logQuery) {
	q.picks = rr.picks
	if q.matching = rr.allowsMatching(&q); q.matching {
		q.since = time.Now()
	}
	if rr.queue.put(&q) {
		rr.wake()
	}
}

// wake makes run and runMatching look for a query.
func (rr *replayReader) wake() {
	for _, wakeup := range []chan struct{}{rr.wakeup, rr.matchWakeup} {
		select {
		case wakeup <- struct{}{}:
		default:
		}
	}
}

// sameAs reports whether both queries have the same result.
func (q *logQuery) sameAs(other *logQuery) bool {
	return q.kind == other.kind && q.seq == other.seq && (q.kind == queryChunk || q.since.Equal(other.since)) &&
		q.set.Equal(other.set) && q.enough == other.enough
}

// dropQueries removes the query and the result of a subscription.
func (rr *replayReader) dropQueries(s *Subscription) {
	rr.mu.Lock()
	defer rr.mu.Unlock()
	rr.queue.remove(s)
	delete(rr.results, s)
	delete(rr.slowMatches, s)
}

// find returns the chunk if it contains the element after the position of the query. For a sparse chunk, it returns a
// chunk with that element only.
func (c *chunk) find(q *logQuery) (chunk, bool) {
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

// postpone moves the subscription's query to the end of the queue. The log failed to answer it, but may answer
// others.
func (rr *replayReader) postpone(s *Subscription) {
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
	rest := time.NewTimer(0)
	defer rest.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-rr.wakeup:
		}
		for q, ok := rr.nextQuery(); ok; q, ok = rr.nextQuery() {
			begin := time.Now()
			var waited waitTime
			err := rr.execute(waited.withContext(ctx), q)
			rest.Reset(time.Since(begin) - waited.total())
			if err != nil {
				rr.postpone(q.sub)
				rest.Reset(logRetry)
			}
			select {
			case <-ctx.Done():
				return
			case <-rest.C:
			}
		}
	}
}

// nextQuery picks the next query. Every second pick is the chunk query with the lowest seq above that of the last
// such pick. So subscribers move up through the log together and share chunks. After the highest seq, the sweep
// begins again with the lowest.
//
// The other picks alternate between the cheapest query (one for a position, or the chunk nearest to the in-memory
// log) and the query that has waited longest. Otherwise a query could wait forever in a log that grows faster than
// it is read.
func (rr *replayReader) nextQuery() (q logQuery, ok bool) {
	rr.mu.Lock()
	defer rr.mu.Unlock()
	oldest := firstOf(&rr.queue.oldest)
	if oldest == nil {
		return rr.takeReadAhead()
	}
	rr.picks++
	switch lowest := rr.queue.chunkFrom(0); {
	case rr.picks%2 == 0 && lowest != nil:
		q = *cmp.Or(rr.queue.chunkFrom(rr.sweptTo), lowest)
		rr.sweptTo = q.seq + 1 // a query for this chunk that comes later waits for the next sweep
	case rr.picks%4 == 1:
		q = *cmp.Or(firstOf(&rr.queue.numbers), rr.queue.newestChunk())
	default:
		q = *oldest
	}
	q.picks = rr.picks
	return q, true
}

// execute sends the query to the log, and wakes the subscriptions whose queries the result answers.
func (rr *replayReader) execute(ctx context.Context, q logQuery) error {
	var r queryResult
	var err error
	switch q.kind {
	case queryLastSeq:
		r.n, err = rr.log.LastSeq(ctx)
	case queryTime:
		r.n, err = rr.log.SeqAt(ctx, q.since)
	case queryCount:
		var count int
		count, err = rr.log.Count(ctx, q.set, q.enough)
		r.n = uint64(count)
	case queryNewest:
		r.seqs, err = rr.seeker.Newest(ctx, q.set, q.seq, q.enough)
	default:
		return rr.readChunks(ctx, q)
	}
	if err == nil {
		rr.resolveInPieces(func() ([]*Subscription, bool) { return rr.resolveSame(&q, r) })
	}
	return err
}

// readChunks reads the chunks for a query.
func (rr *replayReader) readChunks(ctx context.Context, q logQuery) error {
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
func (rr *replayReader) readElements(ctx context.Context, q logQuery, n int) ([]*Event, error) {
	limit := ReadLimit{Events: n * chunkEvents, Bytes: n * chunkBytes}
	if q.seqs != nil {
		return rr.seeker.ReadEach(ctx, q.seqs[:min(len(q.seqs), maxSparse)], limit)
	}
	return rr.log.ReadAfter(ctx, q.seq, limit)
}

// addChunk caches a chunk and removes the oldest ones that exceed the limits. mu must be held.
func (rr *replayReader) addChunk(c chunk) {
	room := maxChunks - rr.reserved
	rr.trimChunks(room-1, int64(room)*chunkBytes-c.size)
	rr.chunks = append(rr.chunks, c)
}

// trimChunks removes the oldest chunks until there are no more than most, with no more than size bytes in total. mu
// must be held.
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
