package longpoll

import (
	"sync/atomic"
	"time"

	"github.com/trivium-hub/trivium/hub"
)

// Polls take these objects from a pool and return them. A client sends its next poll immediately,
// so in the long run about one object exists for each waiting client.

// waker wakes the goroutine of a poll. A late wakeup of the previous poll causes one read that
// returns nothing.
type waker struct {
	wakeup hub.Wakeup
	timer  *time.Timer // not running between two waits
}

func (h *Handler) getWaker() *waker {
	if a, ok := h.wakers.Get().(*waker); ok {
		return a
	}
	a := &waker{hub.NewWakeup(), time.NewTimer(maxWait)}
	a.timer.Stop()
	return a
}

// notifier is the hub.Sink and the auth.Holder of one poll. It passes each call on to the waiting
// goroutine or the parked connection. Both fields are nil after the poll was answered.
type notifier struct {
	waker  atomic.Pointer[waker]
	parked atomic.Pointer[pollConn]
}

// Ready implements hub.Sink.
func (n *notifier) Ready(b *hub.Batch) {
	if c := n.parked.Load(); c != nil {
		c.ready(n, b)
	} else if w := n.waker.Load(); w != nil {
		w.wakeup.Wake()
	}
}

// OnRightsChanged implements auth.Holder.
func (n *notifier) OnRightsChanged() {
	if c := n.parked.Load(); c != nil {
		c.rightsChanged(n)
	} else if w := n.waker.Load(); w != nil {
		w.wakeup.Wake()
	}
}

// maxPooledBuffer is the largest buffer, in bytes, that is returned to the pool.
const maxPooledBuffer = 64 << 10

// getBuffer returns an empty buffer for a body. It can be reused when Write has returned, because
// net/http has then copied or sent it.
func (h *Handler) getBuffer() *[]byte {
	if b, ok := h.buffers.Get().(*[]byte); ok {
		return b
	}
	return new([]byte)
}

func (h *Handler) putBuffer(b *[]byte) {
	if cap(*b) <= maxPooledBuffer {
		*b = (*b)[:0]
		h.buffers.Put(b)
	}
}
