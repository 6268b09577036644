package hub

import (
	"cmp"
	"container/list"
	"context"
	"slices"
	"sync"
	"time"
)

// Bounds of what is read of a log behind the window.
const (
	chunkEvents = 512
	chunkBytes  = 512 << 10
	maxChunks   = 16 // kept or being read, for subscribers that read at about one place
	// chunkLife is about how long a chunk is kept: what the log has lost since must not be read for ever.
	chunkLife = time.Second
	// logRetry is the time between two tries of a log that is away.
	logRetry = 250 * time.Millisecond
)

// replayReader reads for subscribers what the window does not have: events that it has let go or never
// had, and where the log ends. One goroutine reads for all and rests as long as
// it has worked, so that subscribers that are behind leave half of everything to the live ones; waiting for a log in
// another process is no work, see AddWaiting. Several chunks are read at once, and ahead, for subscribers that
// go forward. Memory is that of maxChunks, chunks that are being read included, however many subscribers are
// behind, however far and however large the events, and is given back soon after the last chunk was read.
type replayReader struct {
	log    Log
	seeker Seeker        // nil: the log is none
	wakeup chan struct{} // capacity 1: somebody waits

	mu        sync.Mutex
	chunks    []chunk   // newest last
	queue     list.List // of *inquiry, the longest waiting first
	queuedBy  map[*Subscription]*list.Element
	results   map[*Subscription]queryResult // to what is no chunk
	picks     int                           // how often next has looked for an inquiry
	readAhead logQuery                      // the chunk that a subscriber will want next; until is 0 if there is none
	sweptTo   uint64                        // the next of the chunks upwards is after this seq
	losses    lossIndex
	reads     map[*logRead]struct{} // that are under way
}

// chunk is a stretch of the log: all that is left of (from, to] is in elements.
type chunk struct {
	from, to uint64
	elements []*Event // events and holes, see Engine.Start
	size     int64
	readAt   time.Time // from the log
	depth    int       // how many reads before it went forward to its beginning without a break
	readEnd  uint64    // of the last chunk that was read together with it
	sparse   bool      // the elements are only those that somebody looks for: the log may have others between
}

// logQuery is what a subscription waits for: the chunk after seq, or a number.
type logQuery struct {
	kind   queryKind
	seq    uint64    // of askChunk and askTip
	since  time.Time // of askTime
	set    FilterSet // of askCount and askNewest, as enough
	enough int
	until  uint64   // of askChunk: chunks further than this are not wanted
	seqs   []uint64 // of askChunk: only these elements are wanted, of which the first is right after seq; nil: all

	sub   *Subscription
	picks int // of the archive when it was made
}

type queryKind uint8

const (
	queryChunk queryKind = iota
	queryLastSeq
	queryTime  // where the events since a time begin
	queryCount // how many events of a set there are
	queryNewest
)

// queryResult is the answer to an inquiry that is for no chunk.
type queryResult struct {
	n    uint64
	seqs []uint64 // of askNewest
}

func newReplayReader(log Log, gapTopics int) *replayReader {
	seek, _ := log.(Seeker)
	return &replayReader{
		seeker:   seek,
		losses:   lossIndex{tree: newTopicTree(gapTopics, 0)},
		log:      log,
		wakeup:   make(chan struct{}, 1),
		queuedBy: make(map[*Subscription]*list.Element),
		results:  make(map[*Subscription]queryResult),
		reads:    make(map[*logRead]struct{}),
	}
}

// chunkAfter returns the chunk that seq stands in, or of what is read for its stops the first. If the chunk has to be
// read first, ok is false, and the subscription's sink is called when it is there. The subscription goes forward
// up to about until.
func (rr *replayReader) chunkAfter(s *Subscription, seq uint64, stops []uint64, until uint64) (c chunk, ok bool) {
	rr.mu.Lock()
	defer rr.mu.Unlock()
	for i := len(rr.chunks) - 1; i >= 0; i-- {
		if c, ok := rr.chunks[i].find(seq); ok {
			rr.dequeue(s)
			rr.planReadAhead(&c, until)
			return c, true
		}
	}
	rr.enqueue(logQuery{kind: queryChunk, seq: seq, seqs: stops, until: until, sub: s})
	return chunk{}, false
}

// queryNumber gives the answer to an inquiry that is for no chunk, as after does.
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

// enqueue puts the inquiry into the queue, in the place of another of the same subscription. Called with mu
// held.
func (rr *replayReader) enqueue(q logQuery) {
	q.picks = rr.picks
	at, again := rr.queuedBy[q.sub]
	switch {
	case !again:
		rr.queuedBy[q.sub] = rr.queue.PushBack(&q)
	case at.Value.(*logQuery).sameAs(&q):
		return
	default:
		at.Value = &q
	}
	rr.wake()
}

// wake has run look for something to read.
func (rr *replayReader) wake() {
	select {
	case rr.wakeup <- struct{}{}:
	default:
	}
}

// sameAs reports that both ask for the same.
func (q *logQuery) sameAs(other *logQuery) bool {
	return q.kind == other.kind && q.seq == other.seq && q.since.Equal(other.since) &&
		q.set.Equal(other.set) && q.enough == other.enough
}

// dropQueries takes back what the subscription has asked.
func (rr *replayReader) dropQueries(s *Subscription) {
	rr.mu.Lock()
	defer rr.mu.Unlock()
	rr.dequeue(s)
	delete(rr.results, s)
}

// dequeue takes the subscription out of the queue. Called with mu held.
func (rr *replayReader) dequeue(s *Subscription) {
	if at, ok := rr.queuedBy[s]; ok {
		rr.queue.Remove(at)
		delete(rr.queuedBy, s)
	}
}

// find returns the chunk if seq stands in it. Of one whose elements are apart it is the part right after seq.
func (c *chunk) find(seq uint64) (chunk, bool) {
	if !c.sparse {
		return *c, c.from <= seq && seq < c.to
	}
	i, ok := slices.BinarySearchFunc(c.elements, seq+1, func(e *Event, seq uint64) int { return cmp.Compare(e.ID.Seq, seq) })
	if !ok {
		return chunk{}, false
	}
	return chunk{from: seq, to: seq + 1, elements: c.elements[i : i+1]}, true
}

// postpone has the others come first, which the log may be able to answer.
func (rr *replayReader) postpone(s *Subscription) {
	rr.mu.Lock()
	defer rr.mu.Unlock()
	if at, ok := rr.queuedBy[s]; ok {
		rr.queue.MoveToBack(at)
	}
}

// removedTo is the seq up to which the log is known to be gone.
func (rr *replayReader) removedTo() uint64 {
	rr.mu.Lock()
	defer rr.mu.Unlock()
	return rr.losses.removed
}

// run answers until the context ends.
func (rr *replayReader) run(ctx context.Context) {
	rest := time.NewTimer(0)
	defer rest.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-rr.wakeup:
		}
		for q, any := rr.nextQuery(); any; q, any = rr.nextQuery() {
			begin := time.Now()
			var waited waitTime
			told, err := rr.execute(waited.withContext(ctx), q)
			for _, s := range told {
				s.sink.Ready(&Batch{})
			}
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

// nextQuery gives what the log is asked next. Every other time it is the next chunk upwards, round and round, so
// that those who are behind come on together with all whom this has caught up with. Between these it is in
// turn what takes the least, a number or the chunk that is nearest to the window, and what has waited for the
// longest: a round is as long as the log, and of one that grows faster than it is read it never ends.
func (rr *replayReader) nextQuery() (q logQuery, any bool) {
	rr.mu.Lock()
	defer rr.mu.Unlock()
	var number, nearest, lowest, upward *logQuery
	for at := rr.queue.Front(); at != nil; at = at.Next() {
		q := at.Value.(*logQuery)
		if q.kind != queryChunk {
			number = cmp.Or(number, q)
			continue
		}
		if nearest == nil || q.seq > nearest.seq {
			nearest = q
		}
		if lowest == nil || q.seq < lowest.seq {
			lowest = q
		}
		if q.seq >= rr.sweptTo && (upward == nil || q.seq < upward.seq) {
			upward = q
		}
	}
	longest := rr.queue.Front()
	if longest == nil {
		return rr.takeReadAhead()
	}
	rr.picks++
	pick := longest.Value.(*logQuery)
	switch {
	case rr.picks%2 == 0 && lowest != nil:
		pick = cmp.Or(upward, lowest)
		rr.sweptTo = pick.seq + 1 // who is still there then waits for the next round
	case rr.picks%4 == 1:
		pick = cmp.Or(number, nearest)
	}
	return *pick, true
}

// execute asks the log and gives the subscriptions that have their answer by that.
func (rr *replayReader) execute(ctx context.Context, q logQuery) ([]*Subscription, error) {
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
		var told []*Subscription
		var chunks []chunk
		depth, n := rr.makeRoom(q)
		fetch := func() (elements []*Event, err error) {
			elements, err = rr.readElements(ctx, q, n)
			chunks = splitChunks(q.seq, elements, depth, q.seqs != nil)
			return elements, err
		}
		err = rr.read(fetch, func([]*Event) {
			for _, c := range chunks {
				rr.addChunk(c)
				told = append(told, rr.resolve(q, r, c)...)
			}
		})
		return told, err
	}
	if err != nil {
		return nil, err
	}
	rr.mu.Lock()
	defer rr.mu.Unlock()
	return rr.resolve(q, r, chunk{}), nil
}

// readElements reads the elements of the n chunks that begin where the inquiry asks for.
func (rr *replayReader) readElements(ctx context.Context, q logQuery, n int) ([]*Event, error) {
	limit := ReadLimit{Events: n * chunkEvents, Bytes: n * chunkBytes}
	if q.seqs != nil {
		return rr.seeker.ReadEach(ctx, q.seqs[:min(len(q.seqs), maxSparse)], limit)
	}
	return rr.log.ReadAfter(ctx, q.seq, limit)
}

// resolve takes those out of the queue whose inquiry is answered by r or c. Called with mu held.
func (rr *replayReader) resolve(q logQuery, r queryResult, c chunk) (told []*Subscription) {
	for at, next := rr.queue.Front(), (*list.Element)(nil); at != nil; at = next {
		next = at.Next()
		other := at.Value.(*logQuery)
		if !rr.resolves(&q, r.n, &c, other) {
			continue
		}
		if q.kind != queryChunk {
			rr.results[other.sub] = r
		}
		rr.dequeue(other.sub)
		told = append(told, other.sub)
	}
	return told
}

// resolves reports that n or c, the answer to q, is one to the other inquiry too, which may have been made
// after the log was asked.
func (rr *replayReader) resolves(q *logQuery, n uint64, c *chunk, other *logQuery) bool {
	switch {
	case other.kind != q.kind:
		return false
	case q.kind == queryChunk:
		_, ok := c.find(other.seq)
		return ok
	case q.kind == queryLastSeq:
		return other.seq <= n || other.picks < rr.picks
	case q.kind == queryCount, q.kind == queryNewest:
		return other.sameAs(q) && other.picks < rr.picks
	default:
		return other.sameAs(q)
	}
}

// addChunk puts a chunk in the place of the oldest. Called with mu held.
func (rr *replayReader) addChunk(c chunk) {
	rr.trimChunks(maxChunks-1, maxChunks*chunkBytes-c.size)
	rr.chunks = append(rr.chunks, c)
}

// trimChunks removes the oldest chunks until there are at most that many, of that size in all. Called with mu held.
func (rr *replayReader) trimChunks(most int, size int64) {
	for i := range slices.Backward(rr.chunks) {
		if size -= rr.chunks[i].size; size < 0 || len(rr.chunks)-i > most {
			rr.chunks = slices.Delete(rr.chunks, 0, i+1)
			return
		}
	}
}

// dropOldChunks lets go of chunks that are too old.
func (rr *replayReader) dropOldChunks(now time.Time) {
	rr.mu.Lock()
	defer rr.mu.Unlock()
	rr.chunks = slices.DeleteFunc(rr.chunks, func(c chunk) bool { return now.Sub(c.readAt) > chunkLife })
}
