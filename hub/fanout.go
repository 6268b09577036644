package hub

import (
	"sync"
)

// fanout is the queue of groups that have new events for their subscribers.
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

// work is a fan-out worker: it offers the batches of queued groups to their subscribers until the hub is closed. After
// it has taken a shard of a large group, it puts the group at the end of the queue again. Other workers then take the
// other shards, and smaller groups do not wait for all shards.
func (h *Hub) work() {
	o := offer{memory: &h.batches}
	for g := h.fanout.pop(); g != nil; g = h.fanout.pop() {
		h.mu.Lock()
		g.queued = false
		ok := g.nextOffer(&o, h.memlog)
		h.enqueueGroup(g)
		h.mu.Unlock()
		if !ok {
			continue
		}
		for _, s := range o.subs {
			s.sink.Ready(&o.batch)
		}
		if o.batch.shared == nil {
			h.batches.observe(o.batch.Events)
		}
		h.mu.Lock()
		g.finishOffer(&o)
		h.enqueueGroup(g)
		h.mu.Unlock()
		o.dropEvents()
	}
}
