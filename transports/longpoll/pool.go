package longpoll

import (
	"sync/atomic"
	"time"

	"github.com/trivium-hub/trivium/hub"
)

// waker wakes the goroutine of a poll that waits. Wakers are pooled. A late wakeup for the previous poll
// is harmless: it causes one read that returns no events.
type waker struct {
	wakeup hub.Wakeup
	timer  *time.Timer // runs only during a wait
}

func (h *Handler) getWaker() *waker {
	if a, ok := h.wakers.Get().(*waker); ok {
		return a
	}
	a := &waker{hub.NewWakeup(), time.NewTimer(maxWait)}
	a.timer.Stop()
	return a
}

// notifier is the hub.Sink and the auth.Holder of one poll. It forwards each call to the waiting
// goroutine or to the parked connection. Both fields are nil after the poll was answered.
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

// maxPooledBuffer is the maximum size of a buffer that is returned to the pool, in bytes.
const maxPooledBuffer = 64 << 10

// getBuffer returns an empty buffer for a body. After ResponseWriter.Write returns, net/http does not
// use the buffer, so the buffer may be reused.
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
