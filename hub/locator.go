package hub

import (
	"container/list"
	"context"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// locator searches the durable log for start positions that cannot be determined from the in-memory log. One
// goroutine serves all subscriptions. It does one step of each search in turn, so that a long search does not
// delay the others.
type locator struct {
	replay *replayReader // static
	wakeup chan struct{} // capacity 1: the queue has a search

	mu    sync.Mutex
	queue list.List                      // of *startSearch, in the order of their turns
	open  map[startQuestion]*startSearch // searches that have not begun
}

// startQuestion describes the position that a startSearch must find.
type startQuestion struct {
	origin origin
	since  time.Time    // for byTime: find the position before the first event whose time is since or later; in UTC
	last   newestEvents // for byLast: find the newest events that are not in the in-memory log
	// for byCursor: find the seq of the newest event, which shows whether the cursor is past the end of the log
}

// startSearch is a search for a start position. Subscriptions with equal questions share one search if
// it has not begun yet.
type startSearch struct {
	question startQuestion // static
	scan     *backwardScan // for a start with Last; owned by the locator's goroutine until done

	subs    map[*subscriber]struct{} // waiting subscribers; locator.mu guards this field and inQueue
	inQueue *list.Element            // nil while the search is being advanced, and when it is done

	done atomic.Bool
	seq  uint64 // the result; written before done is set
}

func newLocator(rr *replayReader) *locator {
	return &locator{replay: rr, wakeup: make(chan struct{}, 1), open: make(map[startQuestion]*startSearch)}
}

// find returns a search for the start position of a subscription. When the search is done, the locator
// calls the subscriber's Sink.Ready.
func (l *locator) find(s *subscriber, question startQuestion) *startSearch {
	l.mu.Lock()
	defer l.mu.Unlock()
	search := l.open[question]
	if search == nil {
		search = &startSearch{question: question, subs: make(map[*subscriber]struct{})}
		search.inQueue = l.queue.PushBack(search)
		l.open[question] = search
	}
	search.subs[s] = struct{}{}
	wake(l.wakeup)
	return search
}

// abandon removes the subscription from its search. The search ends if no other subscription waits
// for it.
func (l *locator) abandon(s *subscriber, search *startSearch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if delete(search.subs, s); len(search.subs) == 0 && search.inQueue != nil {
		l.dequeue(search)
	}
}

// dequeue removes the search from the queue, so that no other subscription joins it. mu must be held.
func (l *locator) dequeue(search *startSearch) {
	l.queue.Remove(search.inQueue)
	search.inQueue = nil
	if l.open[search.question] == search {
		delete(l.open, search.question)
	}
}

// run advances searches until the context ends.
func (l *locator) run(ctx context.Context) { readPaced(ctx, l.wakeup, math.MaxInt64, l.advanceNext) }

// advanceNext advances the search whose turn it is, and reports whether there is one. If reading the
// log fails, the search waits for its next turn.
func (l *locator) advanceNext(ctx context.Context) (more bool, err error) {
	l.mu.Lock()
	if l.queue.Len() == 0 {
		l.mu.Unlock()
		return false, nil
	}
	search := l.queue.Front().Value.(*startSearch)
	l.dequeue(search)
	l.mu.Unlock()

	done, err := search.advance(ctx, l.replay)

	l.mu.Lock()
	located := search.subs
	if done {
		search.subs = nil
		search.done.Store(true)
	} else if len(search.subs) > 0 {
		search.inQueue = l.queue.PushBack(search)
	}
	l.mu.Unlock()
	if done {
		for s := range located {
			s.sink.Ready(&Batch{})
		}
	}
	return true, err
}

// advance does one step of the search, and reports whether the search is done.
func (q *startSearch) advance(ctx context.Context, rr *replayReader) (done bool, err error) {
	switch q.question.origin {
	case byCursor:
		q.seq, err = rr.log.LastSeq(ctx)
		return err == nil, err
	case byTime:
		q.seq, err = rr.log.SeqAt(ctx, q.question.since)
		return err == nil, err
	}
	if q.scan == nil {
		q.scan = newBackwardScan(q.question.last)
	}
	done, err = q.scan.advance(ctx, rr)
	q.seq = q.scan.position
	return done, err
}

// origin is the kind of Start from which the position was determined.
type origin uint8

const (
	byNewest origin = iota // the zero Start
	byCursor
	byLast
	byTime
)
