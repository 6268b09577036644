package hub

import (
	"container/heap"
	"context"
	"time"
)

// ownWriteTimeout is how long Publish waits for its own events to be delivered. It is far more than that
// takes, and a hub that lags behind its log answers all the same.
const ownWriteTimeout = 250 * time.Millisecond

// deliveryWait is an event that somebody waits for. Guarded by Hub.mu.
type deliveryWait struct {
	seq  uint64
	slot int           // in Hub.arrivals; -1: it was delivered
	done chan struct{} // closed when it was delivered
}

// maxWaitsEnded bounds the waits that one call of arrived ends, and so how long Hub.mu is held.
const maxWaitsEnded = 256

// waitDelivered waits until all up to seq was delivered; false means that the context has ended before.
func (h *Hub) waitDelivered(ctx context.Context, seq uint64) bool {
	h.mu.Lock()
	if h.memlog.lastSeq >= seq {
		h.mu.Unlock()
		return true
	}
	a := &deliveryWait{seq: seq, done: make(chan struct{})}
	heap.Push(&h.deliveryWaits, a)
	h.mu.Unlock()
	select {
	case <-a.done:
		return true
	case <-ctx.Done():
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if a.slot >= 0 {
		heap.Remove(&h.deliveryWaits, a.slot)
	}
	return false
}

// endDeliveryWaits ends the waits for events that have been delivered, at most maxArrivals of them, and reports whether
// none is left to end. Called with mu held.
func (h *Hub) endDeliveryWaits() (done bool) {
	for range maxWaitsEnded {
		if len(h.deliveryWaits) == 0 || h.deliveryWaits[0].seq > h.memlog.lastSeq {
			return true
		}
		close(heap.Pop(&h.deliveryWaits).(*deliveryWait).done)
	}
	return false
}

// waitHeap implements heap.Interface, the lowest seq first.
type waitHeap []*deliveryWait

func (h waitHeap) Len() int           { return len(h) }
func (h waitHeap) Less(i, j int) bool { return h[i].seq < h[j].seq }

// Swap implements heap.Interface.
func (h waitHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].slot, h[j].slot = i, j
}

// Push implements heap.Interface.
func (h *waitHeap) Push(a any) {
	last := a.(*deliveryWait)
	last.slot = len(*h)
	*h = append(*h, last)
}

// Pop implements heap.Interface.
func (h *waitHeap) Pop() any {
	last := len(*h) - 1
	a := (*h)[last]
	(*h)[last] = nil
	*h, a.slot = (*h)[:last], -1
	return a
}

// waitOwnWrite has a publisher find its events here when it has its answer, though they come by way of a log.
func (h *Hub) waitOwnWrite(ctx context.Context, last Cursor) {
	if h.replay == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, ownWriteTimeout)
	defer cancel()
	h.waitDelivered(ctx, last.Seq)
}
