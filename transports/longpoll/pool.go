package longpoll

import (
	"time"

	"github.com/trivium-hub/trivium/hub"
)

// Objects that a poll uses and returns to a pool. A client sends its next poll at once, so at a
// steady rate about one object is allocated for each waiting client.

// waker wakes a poll. A wakeup meant for the previous poll may arrive late; it causes one read that
// finds nothing.
type waker struct {
	wakeup wakeup
	timer  *time.Timer // stopped
}

// wakeup is woken by events and by changed rights.
type wakeup struct{ hub.Wakeup }

// OnRightsChanged implements auth.Holder.
func (w wakeup) OnRightsChanged() { w.Wake() }

func (h *Handler) getWaker() *waker {
	if a, ok := h.wakers.Get().(*waker); ok {
		return a
	}
	a := &waker{wakeup{hub.NewWakeup()}, time.NewTimer(maxWait)}
	a.timer.Stop()
	return a
}

// maxPooledBuffer is the largest buffer, in bytes, that is returned to the pool.
const maxPooledBuffer = 64 << 10

// getBuffer returns an empty buffer for a body. It can be reused when Write has returned, since
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
