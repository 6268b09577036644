package udp

import (
	"sync"

	"github.com/trivium-hub/trivium/hub"
)

// Limits of the queue, including events that are being published. They suffice if the engine stalls
// for half a second at 100,000 events per second.
const (
	maxQueuedEvents = 64 << 10
	maxQueuedBytes  = 32 << 20 // bytes of data, topics, types and keys
	maxBatch        = 512      // maximum number of events per batch; a larger batch would hold the hub's lock for too long
)

// queue passes events from the reading to the publishing goroutine. put never blocks; take does.
type queue struct {
	available sync.Cond // signaled when waiting is not empty, or the queue is closed

	mu      sync.Mutex // guards the fields below
	waiting []*hub.Event
	ids     []string // IDs of the events in waiting, with the same indexes; nil: no IDs
	events  int      // number of events that were passed to put and not yet to done
	bytes   int      // size of these events in bytes
	closed  bool
}

func newQueue() *queue {
	q := new(queue)
	q.available.L = &q.mu
	return q
}

// put appends the event, with its ID if events have IDs. It returns false if the queue is full.
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

// take blocks until there are events. It returns at most maxBatch of them, and their IDs. The
// events are counted toward the limits until done is called with them. take returns nil when the
// queue is closed and empty.
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

// done stops counting the events of a batch, and clears the batch, because it may share an array
// with waiting.
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

// close makes take return nil once the queue is empty.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.available.Signal()
}

// sizeOf returns the size of an event as counted toward the limits. It uses only fields that the
// hub does not change.
func sizeOf(e *hub.Event) int {
	return len(e.Data) + len(e.Topic) + len(e.Type) + len(e.Key)
}
