package hub

import (
	"sync"
)

// fanout is the queue of groups that have new events for their subscribers. Guarded by Hub.mu.
type fanout struct {
	notEmpty sync.Cond // its L is Hub.mu
	queue    deque[*group]
	closed   bool
}

// push adds a group. The group must not be in the queue.
func (q *fanout) push(g *group) {
	q.queue.push(g)
	q.notEmpty.Signal()
}

// pop blocks until the queue has a group, and returns it. It returns nil if the hub is closed. pop releases Hub.mu
// while it blocks.
func (q *fanout) pop() *group {
	for q.queue.len() == 0 {
		if q.closed {
			return nil
		}
		q.notEmpty.Wait()
	}
	return q.queue.pop()
}

// close wakes all workers. They end when the queue is empty.
func (q *fanout) close() {
	q.closed = true
	q.notEmpty.Broadcast()
}

// work is a fan-out worker: it offers the batches of queued groups to their subscribers until the hub is closed. After
// it has taken a shard of a large group, it puts the group at the end of the queue again. Other workers then take the
// other shards, and smaller groups do not wait for all shards.
func (h *Hub) work() {
	o := offer{memory: &h.batches}
	h.mu.Lock()
	for g := h.fanout.pop(); g != nil; g = h.fanout.pop() {
		g.queued = false
		ok := g.nextOffer(&o, h.memlog)
		h.enqueueGroup(g)
		h.mu.Unlock()
		if ok {
			o.toSubscribers()
		}
		h.mu.Lock()
		if ok {
			g.finishOffer(&o)
			h.enqueueGroup(g)
		}
	}
	h.mu.Unlock()
}
