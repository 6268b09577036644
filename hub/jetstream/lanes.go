package jetstream

import (
	"container/list"
	"context"
	"sync"

	"github.com/trivium-hub/trivium/hub"
)

// Bounds in bytes of publishes under way to JetStream and of waiting ones. Large publishes have a lane of their
// own, so that a small one does not wait behind megabytes of them.
const (
	smallPublish = 64 << 10 // largest publish of the small lane

	maxSmall        = 8 << 20
	maxSmallWaiting = 16 << 20

	maxLarge        = 16 << 20 // not less than the largest array over HTTP
	maxLargeWaiting = 128 << 20
	minLarge        = maxLarge / 8 // at most eight arrays are under way at once
)

// messageOverhead is the approximate size of a message besides its data.
const messageOverhead = 200 // bytes

// lane bounds the bytes of publishes under way. A publish without room waits, and the publishers take turns. A
// publisher that already waits with its share is refused before anything is sent.
type lane struct {
	limit      int64 // bytes under way; a larger publish goes alone; static
	maxWaiting int64 // bytes of all waiting publishes; static

	mu       sync.Mutex
	underWay int64
	waiting  int64
	queues   map[string]*laneQueue // of the waiting publishers
	turns    list.List             // of *laneQueue, in the order of their turns
}

// laneQueue is the waiting publishes of one publisher.
type laneQueue struct {
	publisher string
	turn      *list.Element // element of lane.turns
	waiters   list.List     // of *laneWaiter, oldest first
	bytes     int64
}

type laneWaiter struct {
	bytes   int64
	entered chan struct{} // closed when the publish may be sent
}

func newLane(limit, maxWaiting int64) *lane {
	return &lane{limit: limit, maxWaiting: maxWaiting, queues: make(map[string]*laneQueue)}
}

// enter blocks until n bytes may be under way. The caller must call leave with the same n afterwards. The error is
// hub.ErrOverloaded, returned at once or when ctx ends.
func (l *lane) enter(ctx context.Context, publisher string, n int64) error {
	l.mu.Lock()
	if l.turns.Len() == 0 && l.hasRoom(n) {
		l.underWay += n
		l.mu.Unlock()
		return nil
	}
	q := l.queues[publisher]
	// A publisher may wait with half of the free space, so that other publishers always find space.
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
	case <-w.entered: // it was admitted at the same time
		l.underWay -= n
	default:
		l.remove(q, at)
	}
	l.admit()
	return hub.ErrOverloaded
}

// leave frees the n bytes of a successful enter.
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

// admit lets waiting publishes go while there is room, one of each publisher in turn. mu must be held.
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

// remove deletes a waiter from its queue, and an empty queue from the turns. mu must be held.
func (l *lane) remove(q *laneQueue, at *list.Element) {
	n := q.waiters.Remove(at).(*laneWaiter).bytes
	q.bytes -= n
	l.waiting -= n
	if q.waiters.Len() == 0 {
		l.turns.Remove(q.turn)
		delete(l.queues, q.publisher)
	}
}

// lanes are the two lanes of an engine.
type lanes struct{ small, large *lane }

func newLanes() lanes {
	return lanes{small: newLane(maxSmall, maxSmallWaiting), large: newLane(maxLarge, maxLargeWaiting)}
}

// enter blocks until the lane for this size of publish has room. The publisher is taken from ctx. leave frees the
// room again.
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
