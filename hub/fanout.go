package hub

import "sync"

// fanout is the queue of feeds that have something to offer.
type fanout struct {
	mu     sync.Mutex
	some   sync.Cond
	queue  deque[*feed]
	closed bool
}

func newFanout() *fanout {
	f := new(fanout)
	f.some.L = &f.mu
	return f
}

// push queues a feed that is not queued.
func (q *fanout) push(f *feed) {
	q.mu.Lock()
	q.queue.push(f)
	q.mu.Unlock()
	q.some.Signal()
}

// pop waits for a feed; nil means that the hub is closed.
func (q *fanout) pop() *feed {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.queue.len() == 0 {
		if q.closed {
			return nil
		}
		q.some.Wait()
	}
	return q.queue.pop()
}

func (q *fanout) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.some.Broadcast()
}

// work offers rounds of feeds to their subscribers until the hub is closed.
func (h *Hub) work() {
	var r Round
	for f := h.fanout.pop(); f != nil; f = h.fanout.pop() {
		h.mu.Lock()
		some := f.next(&r, h.window)
		subs := f.subs
		f.lent = some
		f.queued = some
		h.mu.Unlock()
		if !some {
			continue
		}
		for _, s := range subs {
			s.sink.Ready(&r)
		}
		r.release()
		h.mu.Lock()
		f.queued = len(f.pending) > 0 || f.overflow
		if f.queued {
			h.fanout.push(f)
		}
		h.mu.Unlock()
	}
}
