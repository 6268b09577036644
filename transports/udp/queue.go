package udp

import (
	"sync"

	"github.com/trivium-hub/trivium/hub"
)

// Limits of the queue, of what waits and what is being published together: a stall of the engine
// for more than half a second at 100,000 events a second.
const (
	maxQueuedEvents = 64 << 10
	maxQueuedBytes  = 32 << 20 // of data, topics, types and keys
	maxBatch        = 512      // events; more at once would hold the hub's lock for long
)

// queue stands between reading and publishing. put never waits; take does.
type queue struct {
	available sync.Cond // waiting is not empty, or closed

	mu      sync.Mutex // guards what follows
	waiting []*hub.Event
	ids     []string // of those waiting, at the same index; nil: they have none
	events  int      // put and not done
	bytes   int      // of these
	closed  bool
}

func newQueue() *queue {
	q := new(queue)
	q.available.L = &q.mu
	return q
}

// put appends the event, with its ID if all have one; false means that it has no room.
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

// take waits for events and gives those that wait, at most maxBatch, and their IDs; nil once the queue
// is closed and empty. They count until done is called with them.
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
		q.waiting, q.ids = nil, nil // the batch has been given away with its array
	}
	return batch, ids
}

// done ends the counting of a batch, and forgets its events: the array may live on in waiting.
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

// close lets take end when it has given all.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.available.Signal()
}

// sizeOf reads only what the hub leaves as it was.
func sizeOf(e *hub.Event) int {
	return len(e.Data) + len(e.Topic) + len(e.Type) + len(e.Key)
}
