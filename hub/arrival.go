package hub

import (
	"container/heap"
	"context"
	"time"
)

// echoPatience is how long Publish waits for its own events to be delivered. It is far more than that
// takes, and a hub that lags behind its log answers all the same.
const echoPatience = 250 * time.Millisecond

// arrival is an event that somebody waits for. Guarded by Hub.mu.
type arrival struct {
	seq  uint64
	slot int           // in Hub.arrivals; -1: it was delivered
	here chan struct{} // closed when it was delivered
}

// maxArrivals bounds the waits that one call of arrived ends, and so how long Hub.mu is held.
const maxArrivals = 256

// await waits until all up to seq was delivered; false means that the context has ended before.
func (h *Hub) await(ctx context.Context, seq uint64) bool {
	h.mu.Lock()
	if h.window.head >= seq {
		h.mu.Unlock()
		return true
	}
	a := &arrival{seq: seq, here: make(chan struct{})}
	heap.Push(&h.arrivals, a)
	h.mu.Unlock()
	select {
	case <-a.here:
		return true
	case <-ctx.Done():
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if a.slot >= 0 {
		heap.Remove(&h.arrivals, a.slot)
	}
	return false
}

// arrived ends the waits for events that have been delivered, at most maxArrivals of them, and reports whether
// none is left to end. Called with mu held.
func (h *Hub) arrived() (done bool) {
	for range maxArrivals {
		if len(h.arrivals) == 0 || h.arrivals[0].seq > h.window.head {
			return true
		}
		close(heap.Pop(&h.arrivals).(*arrival).here)
	}
	return false
}

// arrivalHeap implements heap.Interface, the lowest seq first.
type arrivalHeap []*arrival

func (h arrivalHeap) Len() int           { return len(h) }
func (h arrivalHeap) Less(i, j int) bool { return h[i].seq < h[j].seq }

// Swap implements heap.Interface.
func (h arrivalHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].slot, h[j].slot = i, j
}

// Push implements heap.Interface.
func (h *arrivalHeap) Push(a any) {
	last := a.(*arrival)
	last.slot = len(*h)
	*h = append(*h, last)
}

// Pop implements heap.Interface.
func (h *arrivalHeap) Pop() any {
	last := len(*h) - 1
	a := (*h)[last]
	(*h)[last] = nil
	*h, a.slot = (*h)[:last], -1
	return a
}

// echo has a publisher find its events here when it has its answer, though they come by way of a log.
func (h *Hub) echo(ctx context.Context, last Cursor) {
	if h.archive == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, echoPatience)
	defer cancel()
	h.await(ctx, last.Seq)
}
