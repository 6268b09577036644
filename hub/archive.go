package hub

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Bounds of what is read of a log behind the window.
const (
	chunkEvents = 512
	chunkBytes  = 512 << 10
	maxChunks   = 16 // kept, for subscribers that read at about one place
	// logRetry is the time between two tries of a log that is away.
	logRetry = 250 * time.Millisecond
)

// archive reads for subscribers what the window does not have: events that it has let go or never
// had, and where the log ends. One goroutine reads for all, chunk after chunk, and rests as long as
// it has worked, so that those who are behind leave the live ones half of everything. Memory is
// that of maxChunks, however many they are and however far behind.
type archive struct {
	log  Log
	some chan struct{} // capacity 1: somebody waits

	mu      sync.Mutex
	chunks  []chunk // newest last
	queue   []*Subscription
	asked   map[*Subscription]inquiry
	answers map[*Subscription]uint64 // to what is no chunk
	turn    int                      // inquiries that the log was asked
	tail    tail
}

// chunk is a stretch of the log: all that is left of (from, to] is in elements.
type chunk struct {
	from, to uint64
	elements []*Event // events and holes, see Engine.Start
}

// inquiry is what a subscription waits for: the chunk after seq, or a number.
type inquiry struct {
	kind  inquiryKind
	seq   uint64
	since time.Time
	turn  int // of the archive when it was made
}

type inquiryKind uint8

const (
	askChunk inquiryKind = iota
	askTip
	askTime // where the events since a time begin
)

func newArchive(log Log, gapTopics int) *archive {
	return &archive{
		tail:    tail{lost: newTopicTree(gapTopics, 0)},
		log:     log,
		some:    make(chan struct{}, 1),
		asked:   make(map[*Subscription]inquiry),
		answers: make(map[*Subscription]uint64),
	}
}

// after gives the chunk that seq stands in. If it has to be read first, ok is false, and the
// subscription's sink is told when it is there.
func (a *archive) after(s *Subscription, seq uint64) (c chunk, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := len(a.chunks) - 1; i >= 0; i-- {
		if c := a.chunks[i]; c.from <= seq && seq < c.to {
			delete(a.asked, s)
			return c, true
		}
	}
	a.ask(s, inquiry{kind: askChunk, seq: seq})
	return chunk{}, false
}

// number gives the answer to an inquiry that is for no chunk, as after does.
func (a *archive) number(s *Subscription, q inquiry) (n uint64, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if n, ok = a.answers[s]; ok {
		delete(a.answers, s)
		return n, true
	}
	a.ask(s, q)
	return 0, false
}

// ask puts the subscription into the queue. Called with mu held.
func (a *archive) ask(s *Subscription, q inquiry) {
	q.turn = a.turn
	before, again := a.asked[s]
	switch {
	case !again:
		a.queue = append(a.queue, s)
	case before.kind == q.kind && before.seq == q.seq:
		return
	}
	a.asked[s] = q
	select {
	case a.some <- struct{}{}:
	default:
	}
}

// forget takes back what the subscription has asked.
func (a *archive) forget(s *Subscription) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.asked, s)
	delete(a.answers, s)
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
			told, err := a.answer(ctx, q)
			for _, s := range told {
				s.sink.Ready(&Round{})
			}
			rest.Reset(time.Since(begin))
			if err != nil {
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

// next gives what is waited for the longest.
func (a *archive) next() (q inquiry, any bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.queue) > 0 {
		if q, any = a.asked[a.queue[0]]; any {
			a.turn++
			return q, true
		}
		a.queue = a.queue[1:]
	}
	a.queue = nil
	return inquiry{}, false
}

// answer asks the log and gives the subscriptions that have their answer by that.
func (a *archive) answer(ctx context.Context, q inquiry) ([]*Subscription, error) {
	var n uint64
	var elements []*Event
	var err error
	switch q.kind {
	case askTip:
		n, err = a.log.Tip(ctx)
	case askTime:
		n, err = a.log.SeqAt(ctx, q.since)
	default:
		elements, err = a.log.ReadAfter(ctx, q.seq, ReadLimit{Events: chunkEvents, Bytes: chunkBytes})
	}
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if q.kind == askChunk {
		a.keep(chunk{q.seq, elements[len(elements)-1].ID.Seq, elements})
		n = elements[len(elements)-1].ID.Seq
	}
	return a.settle(q, n), nil
}

// settle takes those out of the queue whose inquiry is answered by n. Called with mu held.
func (a *archive) settle(q inquiry, n uint64) (told []*Subscription) {
	a.queue = slices.DeleteFunc(a.queue, func(s *Subscription) bool {
		other, waits := a.asked[s]
		switch {
		case !waits:
			return true
		case other.kind != q.kind, q.kind == askTime && !other.since.Equal(q.since):
			return false
		case q.kind == askChunk && (other.seq < q.seq || other.seq >= n):
			return false
		case q.kind == askTip && other.seq > n && other.turn == a.turn:
			return false // by then the log may have gone so far
		case q.kind != askChunk:
			a.answers[s] = n
		}
		delete(a.asked, s)
		told = append(told, s)
		return true
	})
	return told
}

// keep puts a chunk in the place of the oldest. Called with mu held.
func (a *archive) keep(c chunk) {
	newer := make(map[subject]bool)
	for _, e := range slices.Backward(c.elements) {
		if e.Key != "" {
			about := subject{e.Topic, e.Key}
			e.superseded = newer[about]
			newer[about] = true
		}
	}
	if len(a.chunks) == maxChunks {
		a.chunks = slices.Delete(a.chunks, 0, 1)
	}
	a.chunks = append(a.chunks, c)
}
