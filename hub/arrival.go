package hub

import (
	"context"
	"slices"
	"time"
)

// echoPatience is how long Publish waits for its own events to be delivered. It is far more than that
// takes, and a hub that lags behind its log answers all the same.
const echoPatience = 250 * time.Millisecond

// arrival is an event that somebody waits for. Guarded by Hub.mu.
type arrival struct {
	seq  uint64
	here chan struct{} // closed when it was delivered
}

// await waits until all up to seq was delivered; false means that the context has ended before.
func (h *Hub) await(ctx context.Context, seq uint64) bool {
	h.mu.Lock()
	if h.window.head >= seq {
		h.mu.Unlock()
		return true
	}
	a := &arrival{seq, make(chan struct{})}
	h.arrivals = append(h.arrivals, a)
	h.mu.Unlock()
	select {
	case <-a.here:
		return true
	case <-ctx.Done():
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.arrivals = slices.DeleteFunc(h.arrivals, func(other *arrival) bool { return other == a })
	return false
}

// arrived tells those whose event has been delivered. Called with mu held.
func (h *Hub) arrived() {
	h.arrivals = slices.DeleteFunc(h.arrivals, func(a *arrival) bool {
		if a.seq > h.window.head {
			return false
		}
		close(a.here)
		return true
	})
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
