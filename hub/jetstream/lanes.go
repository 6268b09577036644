package jetstream

import (
	"container/list"
	"context"
	"sync"

	"github.com/trivium-hub/trivium/hub"
)

// Bounds in bytes of what is on its way to JetStream and of what waits for that. Large publishes have a
// lane of their own, so that a small one waits behind no megabytes of theirs.
const (
	smallPublish = 64 << 10 // a publish up to this size goes in the small lane

	maxSmall        = 8 << 20
	maxSmallWaiting = 16 << 20

	maxLarge        = 16 << 20 // an array over HTTP is no larger
	maxLargeWaiting = 128 << 20
	minLarge        = maxLarge / 8 // so that at most eight arrays are staged at once
)

// messageOverhead is about what a message takes beside its data.
const messageOverhead = 200 // bytes

// lane bounds the bytes of publishes under way. What finds no room waits, in turn with other publishers;
// what would make a publisher wait with more than its share is refused before anything of it is sent.
type lane struct {
	limit      int64 // bytes under way; one larger publish goes alone; static
	maxWaiting int64 // bytes, of all publishers; static

	mu       sync.Mutex
	underWay int64
	waiting  int64
	queues   map[string]*laneQueue // of the publishers that wait
	turns    list.List             // of *laneQueue; the one whose turn it is comes first
}

// laneQueue is what one publisher waits with.
type laneQueue struct {
	publisher string
	turn      *list.Element // in turns
	waiters   list.List     // of *laneWaiter, the oldest first
	bytes     int64
}

type laneWaiter struct {
	bytes   int64
	entered chan struct{} // closed when it is under way
}

func newLane(limit, maxWaiting int64) *lane {
	return &lane{limit: limit, maxWaiting: maxWaiting, queues: make(map[string]*laneQueue)}
}

// enter waits until n bytes may be under way; leave must follow with the same n. The error is
// hub.ErrOverloaded, at once or when the context ends.
func (l *lane) enter(ctx context.Context, publisher string, n int64) error {
	l.mu.Lock()
	if l.turns.Len() == 0 && l.hasRoom(n) {
		l.underWay += n
		l.mu.Unlock()
		return nil
	}
	q := l.queues[publisher]
	// Half as much as is free may wait of one publisher, so that others always find room to wait.
	if held := heldBy(q); 2*held >= l.maxWaiting-l.waiting {
		l.mu.Unlock()
		return hub.ErrOverloaded
	}
	if q == nil {
		q = &laneQueue{publisher: publisher}
		q.turn = l.turns.PushBack(q)
		l.queues[publisher] = q
	}
	w := &laneWaiter{bytes: n, entered: make(chan struct{})}
	at := q.waiters.PushBack(w)
	q.bytes += n
	l.waiting += n
	l.mu.Unlock()
	select {
	case <-w.entered:
		return nil
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-w.entered: // meanwhile
		l.underWay -= n
	default:
		l.remove(q, at)
	}
	l.admit()
	return hub.ErrOverloaded
}

// leave ends what enter began.
func (l *lane) leave(n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.underWay -= n
	l.admit()
}

func heldBy(q *laneQueue) int64 {
	if q == nil {
		return 0
	}
	return q.bytes
}

func (l *lane) hasRoom(n int64) bool { return l.underWay == 0 || l.underWay+n <= l.limit }

// admit lets in whoever's turn it is, one publish of each publisher after the other. Called with mu held.
func (l *lane) admit() {
	for l.turns.Len() > 0 {
		q := l.turns.Front().Value.(*laneQueue)
		at := q.waiters.Front()
		w := at.Value.(*laneWaiter)
		if !l.hasRoom(w.bytes) {
			return
		}
		l.underWay += w.bytes
		close(w.entered)
		l.turns.MoveToBack(q.turn)
		l.remove(q, at)
	}
}

// remove takes a waiter out of its queue, and an empty queue out of the turns. Called with mu held.
func (l *lane) remove(q *laneQueue, at *list.Element) {
	n := q.waiters.Remove(at).(*laneWaiter).bytes
	q.bytes -= n
	l.waiting -= n
	if q.waiters.Len() == 0 {
		l.turns.Remove(q.turn)
		delete(l.queues, q.publisher)
	}
}

// lanes are those of an engine.
type lanes struct{ small, large *lane }

func newLanes() lanes {
	return lanes{small: newLane(maxSmall, maxSmallWaiting), large: newLane(maxLarge, maxLargeWaiting)}
}

// enter waits for room for the events in the lane of their size, for the publisher that the context
// names. leave gives the room back.
func (l *lanes) enter(ctx context.Context, events []*hub.Event) (leave func(), err error) {
	n, in := int64(0), l.small
	for _, e := range events {
		n += int64(len(e.Data) + messageOverhead)
	}
	if n > smallPublish {
		in = l.large
		if len(events) > 1 {
			n = max(n, minLarge)
		}
	}
	if err := in.enter(ctx, hub.PublisherOf(ctx), n); err != nil {
		return nil, err
	}
	return func() { in.leave(n) }, nil
}
