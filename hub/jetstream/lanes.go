package jetstream

import (
	"container/list"
	"context"
	"sync"

	"github.com/trivium-hub/trivium/hub"
)

// These constants limit the bytes of publishes that JetStream has not answered yet, and of
// publishes that wait to be sent. Large publishes have their own lane, so that a small publish does
// not wait for megabytes.
const (
	smallPublish = 64 << 10 // largest publish in the lane for small publishes

	maxSmall        = 8 << 20
	maxSmallWaiting = 16 << 20

	maxLarge        = 16 << 20 // at least the size of the largest array over HTTP
	maxLargeWaiting = 128 << 20
	minLarge        = maxLarge / 8 // smaller publishes in the lane are counted as this size, so that at most eight arrays are in progress
)

// messageOverhead is the approximate size of a message besides its data.
const messageOverhead = 200 // bytes

// lane limits the bytes of publishes in progress. A publish for which there is no room waits.
// Publishers take turns, one publish at a time. A publish is refused, before anything is sent, if the
// waiting publishes of its publisher already fill the publisher's share.
type lane struct {
	limit      int64 // maximum bytes in progress; a larger publish must be the only one; static
	maxWaiting int64 // maximum bytes of all waiting publishes; static

	mu       sync.Mutex
	underWay int64
	waiting  int64
	queues   map[string]*laneQueue // waiting publishes by publisher
	turns    list.List             // elements are *laneQueue, in the order of their turns
}

// laneQueue is the queue of one publisher's waiting publishes.
type laneQueue struct {
	publisher string
	turn      *list.Element // the queue's element in lane.turns
	waiters   list.List     // elements are *laneWaiter, oldest first
	bytes     int64
}

type laneWaiter struct {
	bytes   int64
	entered chan struct{} // closed when the publish may be sent
}

func newLane(limit, maxWaiting int64) *lane {
	return &lane{limit: limit, maxWaiting: maxWaiting, queues: make(map[string]*laneQueue)}
}

// enter blocks until there is room for n bytes. The caller must call leave with the same n when the
// publish has ended. The error is hub.ErrOverloaded. It is returned immediately if the waiting
// publishes fill the publisher's share, and otherwise when ctx ends.
func (l *lane) enter(ctx context.Context, publisher string, n int64) error {
	l.mu.Lock()
	if l.turns.Len() == 0 && l.hasRoom(n) {
		l.underWay += n
		l.mu.Unlock()
		return nil
	}
	q := l.queues[publisher]
	// A publish may wait only if the total size of its publisher's waiting publishes is less than half of
	// the space that is still free for waiting publishes. Some space therefore always remains for others.
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
	case <-w.entered: // the publish was admitted at the same time
		l.underWay -= n
	default:
		l.remove(q, at)
	}
	l.admit()
	return hub.ErrOverloaded
}

// leave releases the n bytes of a successful enter.
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

// admit admits waiting publishes while there is room. Publishers take turns, one publish at a time. mu
// must be held.
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

// remove removes a waiter from its queue. If the queue is then empty, remove also removes the queue
// from turns. mu must be held.
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

// enter selects the lane by the size of the events, and blocks until the lane has room for them.
// hub.PublisherOf(ctx) is the publisher. The caller must call leave when the publish has ended.
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
