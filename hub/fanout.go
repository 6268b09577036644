package hub

import (
	"sync"
	"time"
)

// fanout is the queue of groups that have events for their subscribers.
type fanout struct {
	mu       sync.Mutex
	notEmpty sync.Cond
	queue    deque[*group]
	closed   bool
}

func newFanout() *fanout {
	f := new(fanout)
	f.notEmpty.L = &f.mu
	return f
}

// push adds a group. The group must not be in the queue.
func (q *fanout) push(g *group) {
	q.mu.Lock()
	q.queue.push(g)
	q.mu.Unlock()
	q.notEmpty.Signal()
}

// pop blocks until the queue has a group, and returns it. It returns nil if the hub is closed.
func (q *fanout) pop() *group {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.queue.len() == 0 {
		if q.closed {
			return nil
		}
		q.notEmpty.Wait()
	}
	return q.queue.pop()
}

func (q *fanout) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.notEmpty.Broadcast()
}

// work is a fan-out worker: it offers the batches of queued groups to their subscribers until the hub is closed.
func (h *Hub) work() {
	var b Batch
	for g := h.fanout.pop(); g != nil; g = h.fanout.pop() {
		h.mu.Lock()
		ok := g.nextBatch(&b, h.memlog)
		subs := g.subs
		g.subsShared = ok
		g.queued = ok
		h.mu.Unlock()
		if !ok {
			continue
		}
		for _, s := range subs {
			s.sink.Ready(&b)
		}
		if len(b.Events) > 0 { // the clock is read once for all subscribers
			h.stats.latency.observe(time.Since(time.Unix(0, b.Events[0].ageTime)))
		}
		b.dropEvents()
		h.mu.Lock()
		g.queued = len(g.pending) > 0 || g.overflow
		if g.queued {
			h.fanout.push(g)
		}
		h.mu.Unlock()
	}
}
