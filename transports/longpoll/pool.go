package longpoll

import (
	"time"

	"github.com/trivium-hub/trivium/hub"
)

// What a poll needs and gives back when it has answered. A client asks again at once, so that at a
// steady rate each is made about once for each who waits.

// alarm is what wakes a poll. A ring for the poll that had it before may come late, and has this one
// look in vain.
type alarm struct {
	bell  hub.Bell
	timer *time.Timer // stopped
}

func (h *Handler) alarm() *alarm {
	if a, ok := h.alarms.Get().(*alarm); ok {
		return a
	}
	a := &alarm{hub.NewBell(), time.NewTimer(maxWait)}
	a.timer.Stop()
	return a
}

// maxKept bounds the memory of a body that is kept for the next, in bytes.
const maxKept = 64 << 10

// body gives empty memory for a body. It is kept when net/http has copied or sent it: when Write has
// returned.
func (h *Handler) body() *[]byte {
	if b, ok := h.bodies.Get().(*[]byte); ok {
		return b
	}
	return new([]byte)
}

func (h *Handler) keep(b *[]byte) {
	if cap(*b) <= maxKept {
		*b = (*b)[:0]
		h.bodies.Put(b)
	}
}
