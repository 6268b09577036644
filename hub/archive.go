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

// archive reads for subscribers what the window does not have: events that it has let go or never
// had, and where the log ends. One goroutine reads for all and rests as long as
// it has worked, so that subscribers that are behind leave half of everything to the live ones; waiting for a log in
// another process is no work, see AddWaiting. Several chunks are read at once, and ahead, for subscribers that
// go forward. Memory is that of maxChunks, chunks that are being read included, however many subscribers are
// behind, however far and however large the events, and is given back soon after the last chunk was read.
type archive struct {
	log  Log
	seek Seeker        // nil: the log is none
	some chan struct{} // capacity 1: somebody waits

	mu      sync.Mutex
	chunks  []chunk   // newest last
	queue   list.List // of *inquiry, the longest waiting first
	asked   map[*Subscription]*list.Element
	answers map[*Subscription]reply // to what is no chunk
	turn    int                     // how often next has looked for an inquiry
	ahead   inquiry                 // the chunk that a subscriber will want next; until is 0 if there is none
	swept   uint64                  // the next of the chunks upwards is after this seq
	tail    tail
	reads   map[*logRead]struct{} // that are under way
}

// chunk is a stretch of the log: all that is left of (from, to] is in elements.
type chunk struct {
	from, to uint64
	elements []*Event // events and holes, see Engine.Start
	size     int64
	read     time.Time // from the log
	depth    int       // how many reads before it went forward to its beginning without a break
	end      uint64    // of the last chunk that was read together with it
	apart    bool      // the elements are only those that somebody looks for: the log may have others between
}

// inquiry is what a subscription waits for: the chunk after seq, or a number.
type inquiry struct {
	kind   inquiryKind
	seq    uint64    // of askChunk and askTip
	since  time.Time // of askTime
	set    FilterSet // of askCount and askNewest, as enough
	enough int
	until  uint64   // of askChunk: chunks further than this are not wanted
	stops  []uint64 // of askChunk: only these elements are wanted, of which the first is right after seq; nil: all

	asker *Subscription
	turn  int // of the archive when it was made
}

type inquiryKind uint8

const (
	askChunk inquiryKind = iota
	askTip
	askTime  // where the events since a time begin
	askCount // how many events of a set there are
	askNewest
)

// reply is the answer to an inquiry that is for no chunk.
type reply struct {
	n    uint64
	seqs []uint64 // of askNewest
}

func newArchive(log Log, gapTopics int) *archive {
	seek, _ := log.(Seeker)
	return &archive{
		seek:    seek,
		tail:    tail{lost: newTopicTree(gapTopics, 0)},
		log:     log,
		some:    make(chan struct{}, 1),
		asked:   make(map[*Subscription]*list.Element),
		answers: make(map[*Subscription]reply),
		reads:   make(map[*logRead]struct{}),
	}
}

// after returns the chunk that seq stands in, or of what is read for its stops the first. If the chunk has to be
// read first, ok is false, and the subscription's sink is called when it is there. The subscription goes forward
// up to about until.
func (a *archive) after(s *Subscription, seq uint64, stops []uint64, until uint64) (c chunk, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := len(a.chunks) - 1; i >= 0; i-- {
		if c, ok := a.chunks[i].at(seq); ok {
			a.withdraw(s)
			a.wantAhead(&c, until)
			return c, true
		}
	}
	a.ask(inquiry{kind: askChunk, seq: seq, stops: stops, until: until, asker: s})
	return chunk{}, false
}

// number gives the answer to an inquiry that is for no chunk, as after does.
func (a *archive) number(s *Subscription, q inquiry) (n uint64, ok bool) {
	r, ok := a.reply(s, q)
	return r.n, ok
}

func (a *archive) reply(s *Subscription, q inquiry) (r reply, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if r, ok = a.answers[s]; ok {
		delete(a.answers, s)
		return r, true
	}
	q.asker = s
	a.ask(q)
	return reply{}, false
}

// ask puts the inquiry into the queue, in the place of another of the same subscription. Called with mu
// held.
func (a *archive) ask(q inquiry) {
	q.turn = a.turn
	at, again := a.asked[q.asker]
	switch {
	case !again:
		a.asked[q.asker] = a.queue.PushBack(&q)
	case at.Value.(*inquiry).isFor(&q):
		return
	default:
		at.Value = &q
	}
	a.wake()
}

// wake has run look for something to read.
func (a *archive) wake() {
	select {
	case a.some <- struct{}{}:
	default:
	}
}

// isFor reports that both ask for the same.
func (q *inquiry) isFor(other *inquiry) bool {
	return q.kind == other.kind && q.seq == other.seq && q.since.Equal(other.since) &&
		q.set.Equal(other.set) && q.enough == other.enough
}

// forget takes back what the subscription has asked.
func (a *archive) forget(s *Subscription) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.withdraw(s)
	delete(a.answers, s)
}

// withdraw takes the subscription out of the queue. Called with mu held.
func (a *archive) withdraw(s *Subscription) {
	if at, ok := a.asked[s]; ok {
		a.queue.Remove(at)
		delete(a.asked, s)
	}
}

// at returns the chunk if seq stands in it. Of one whose elements are apart it is the part right after seq.
func (c *chunk) at(seq uint64) (chunk, bool) {
	if !c.apart {
		return *c, c.from <= seq && seq < c.to
	}
	i, ok := slices.BinarySearchFunc(c.elements, seq+1, func(e *Event, seq uint64) int { return cmp.Compare(e.ID.Seq, seq) })
	if !ok {
		return chunk{}, false
	}
	return chunk{from: seq, to: seq + 1, elements: c.elements[i : i+1]}, true
}

// postpone has the others come first, which the log may be able to answer.
func (a *archive) postpone(s *Subscription) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if at, ok := a.asked[s]; ok {
		a.queue.MoveToBack(at)
	}
}

// begin is the seq up to which the log is known to be gone.
func (a *archive) begin() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.tail.removed
}

// run answers until the context ends.
func (a *archive) run(ctx context.Context) {
	rest := time.NewTimer(0)
	defer rest.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.some:
		}
		for q, any := a.next(); any; q, any = a.next() {
			begin := time.Now()
			var waited waiting
			told, err := a.answer(waited.context(ctx), q)
			for _, s := range told {
				s.sink.Ready(&Round{})
			}
			rest.Reset(time.Since(begin) - waited.time())
			if err != nil {
				a.postpone(q.asker)
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

// next gives what the log is asked next. Every other time it is the next chunk upwards, round and round, so
// that those who are behind come on together with all whom this has caught up with. Between these it is in
// turn what takes the least, a number or the chunk that is nearest to the window, and what has waited for the
// longest: a round is as long as the log, and of one that grows faster than it is read it never ends.
func (a *archive) next() (q inquiry, any bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var number, nearest, lowest, upward *inquiry
	for at := a.queue.Front(); at != nil; at = at.Next() {
		q := at.Value.(*inquiry)
		if q.kind != askChunk {
			number = cmp.Or(number, q)
			continue
		}
		if nearest == nil || q.seq > nearest.seq {
			nearest = q
		}
		if lowest == nil || q.seq < lowest.seq {
			lowest = q
		}
		if q.seq >= a.swept && (upward == nil || q.seq < upward.seq) {
			upward = q
		}
	}
	longest := a.queue.Front()
	if longest == nil {
		return a.takeAhead()
	}
	a.turn++
	pick := longest.Value.(*inquiry)
	switch {
	case a.turn%2 == 0 && lowest != nil:
		pick = cmp.Or(upward, lowest)
		a.swept = pick.seq + 1 // who is still there then waits for the next round
	case a.turn%4 == 1:
		pick = cmp.Or(number, nearest)
	}
	return *pick, true
}

// answer asks the log and gives the subscriptions that have their answer by that.
func (a *archive) answer(ctx context.Context, q inquiry) ([]*Subscription, error) {
	var r reply
	var err error
	switch q.kind {
	case askTip:
		r.n, err = a.log.Tip(ctx)
	case askTime:
		r.n, err = a.log.SeqAt(ctx, q.since)
	case askCount:
		var count int
		count, err = a.log.Count(ctx, q.set, q.enough)
		r.n = uint64(count)
	case askNewest:
		r.seqs, err = a.seek.Newest(ctx, q.set, q.seq, q.enough)
	default:
		var told []*Subscription
		var chunks []chunk
		depth, n := a.makeRoom(q)
		fetch := func() (elements []*Event, err error) {
			elements, err = a.fetch(ctx, q, n)
			chunks = split(q.seq, elements, depth, q.stops != nil)
			return elements, err
		}
		err = a.read(fetch, func([]*Event) {
			for _, c := range chunks {
				a.keep(c)
				told = append(told, a.settle(q, r, c)...)
			}
		})
		return told, err
	}
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.settle(q, r, chunk{}), nil
}

// fetch reads the elements of the n chunks that begin where the inquiry asks for.
func (a *archive) fetch(ctx context.Context, q inquiry, n int) ([]*Event, error) {
	limit := ReadLimit{Events: n * chunkEvents, Bytes: n * chunkBytes}
	if q.stops != nil {
		return a.seek.ReadEach(ctx, q.stops[:min(len(q.stops), maxEach)], limit)
	}
	return a.log.ReadAfter(ctx, q.seq, limit)
}

// settle takes those out of the queue whose inquiry is answered by r or c. Called with mu held.
func (a *archive) settle(q inquiry, r reply, c chunk) (told []*Subscription) {
	for at, next := a.queue.Front(), (*list.Element)(nil); at != nil; at = next {
		next = at.Next()
		other := at.Value.(*inquiry)
		if !a.settles(&q, r.n, &c, other) {
			continue
		}
		if q.kind != askChunk {
			a.answers[other.asker] = r
		}
		a.withdraw(other.asker)
		told = append(told, other.asker)
	}
	return told
}

// settles reports that n or c, the answer to q, is one to the other inquiry too, which may have been made
// after the log was asked.
func (a *archive) settles(q *inquiry, n uint64, c *chunk, other *inquiry) bool {
	switch {
	case other.kind != q.kind:
		return false
	case q.kind == askChunk:
		_, ok := c.at(other.seq)
		return ok
	case q.kind == askTip:
		return other.seq <= n || other.turn < a.turn
	case q.kind == askCount, q.kind == askNewest:
		return other.isFor(q) && other.turn < a.turn
	default:
		return other.isFor(q)
	}
}

// keep puts a chunk in the place of the oldest. Called with mu held.
func (a *archive) keep(c chunk) {
	a.trim(maxChunks-1, maxChunks*chunkBytes-c.size)
	a.chunks = append(a.chunks, c)
}

// trim removes the oldest chunks until there are at most that many, of that size in all. Called with mu held.
func (a *archive) trim(most int, size int64) {
	for i := range slices.Backward(a.chunks) {
		if size -= a.chunks[i].size; size < 0 || len(a.chunks)-i > most {
			a.chunks = slices.Delete(a.chunks, 0, i+1)
			return
		}
	}
}

// tidy lets go of chunks that are too old.
func (a *archive) tidy(now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.chunks = slices.DeleteFunc(a.chunks, func(c chunk) bool { return now.Sub(c.read) > chunkLife })
}
