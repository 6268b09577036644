package hub

import (
	"container/heap"
	"context"
	"time"
)

// ownWriteTimeout is the longest time that Publish waits until its own events are delivered. Delivery
// usually takes far less time. If it takes longer, because the hub is far behind its log, Publish
// returns before the events are delivered.
const ownWriteTimeout = 250 * time.Millisecond

// deliveryWait represents one caller of waitDelivered. Guarded by Hub.mu.
type deliveryWait struct {
	seq  uint64
	slot int           // index in Hub.deliveryWaits; -1: the event was delivered
	done chan struct{} // closed when the event was delivered
}

// maxWaitsEnded is the maximum number of waits that one call of endDeliveryWaits ends. It limits
// how long Hub.mu is held.
const maxWaitsEnded = 256

// waitDelivered blocks until all events up to seq were delivered. It returns false if the context ends first.
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

// endDeliveryWaits ends at most maxWaitsEnded of the waits whose events have been delivered. It reports
// whether it has ended all of them. mu must be held.
func (h *Hub) endDeliveryWaits() (done bool) {
	for range maxWaitsEnded {
		if len(h.deliveryWaits) == 0 || h.deliveryWaits[0].seq > h.memlog.lastSeq {
			return true
		}
		close(heap.Pop(&h.deliveryWaits).(*deliveryWait).done)
	}
	return false
}

// waitHeap implements heap.Interface. The wait with the lowest seq is first.
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

// waitOwnWrite blocks until the publisher's events are delivered, so that the publisher can read its
// own writes. It does not wait if the engine is not a Log, because such an engine delivers before its
// Publish returns.
func (h *Hub) waitOwnWrite(ctx context.Context, last Cursor) {
	if h.replay == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, ownWriteTimeout)
	defer cancel()
	h.waitDelivered(ctx, last.Seq)
}
