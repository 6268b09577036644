package udp

import (
	"sync"

	"github.com/trivium-hub/trivium/hub"
)

// Limits of the queue. Events that are being published also count toward them. At 100,000 events per
// second, the limits suffice if the engine stalls for half a second.
const (
	maxQueuedEvents = 64 << 10
	maxQueuedBytes  = 32 << 20 // maximum size of data, topics, types and keys, in bytes
	maxBatch        = 512      // maximum number of events per batch; a larger batch would hold the hub's lock for too long
)

// queue passes events from the goroutine that reads to the goroutine that publishes. put never blocks;
// take blocks while there are no events.
type queue struct {
	available sync.Cond // signaled when waiting becomes non-empty, and when the queue is closed

	mu      sync.Mutex // guards the fields below
	waiting []*hub.Event
	ids     []string // IDs of the events in waiting, with the same indexes; nil: no IDs
	events  int      // number of events that put has added and for which done was not called yet
	bytes   int      // size of these events, in bytes
	closed  bool
}

func newQueue() *queue {
	q := new(queue)
	q.available.L = &q.mu
	return q
}

// put adds an event and its ID, which is "" if events have no IDs. It returns false if the queue is
// full.
func (q *queue) put(e *hub.Event, id string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.events == maxQueuedEvents || q.bytes+sizeOf(e) > maxQueuedBytes {
		return false
	}
	q.waiting = append(q.waiting, e)
	if id != "" {
		q.ids = append(q.ids, id)
	}
	q.events++
	q.bytes += sizeOf(e)
	if len(q.waiting) == 1 {
		q.available.Signal()
	}
	return true
}

// take blocks until there are events. It returns at most maxBatch events, and their IDs. The events
// count toward the limits until done is called. If the queue is closed and empty, take returns nil.
func (q *queue) take() (batch []*hub.Event, ids []string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.waiting) == 0 && !q.closed {
		q.available.Wait()
	}
	n := min(len(q.waiting), maxBatch)
	if n == 0 {
		return nil, nil
	}
	batch = q.waiting[:n:n]
	if q.ids != nil {
		ids, q.ids = q.ids[:n:n], q.ids[n:]
	}
	if q.waiting = q.waiting[n:]; len(q.waiting) == 0 {
		q.waiting, q.ids = nil, nil // the batch now owns their arrays
	}
	return batch, ids
}

// done must be called after a batch from take was published. The events of the batch then no longer
// count toward the limits. done also clears the batch: the batch may share its array with waiting, and
// this array would keep the events in memory.
func (q *queue) done(batch []*hub.Event) {
	bytes := 0
	for _, e := range batch {
		bytes += sizeOf(e)
	}
	clear(batch)
	q.mu.Lock()
	defer q.mu.Unlock()
	q.events -= len(batch)
	q.bytes -= bytes
}

// close closes the queue: when it is empty, take returns nil.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.available.Signal()
}

// sizeOf returns the size by which an event counts toward maxQueuedBytes. It uses only fields that the hub
// does not change.
func sizeOf(e *hub.Event) int {
	return len(e.Data) + len(e.Topic) + len(e.Type) + len(e.Key)
}
