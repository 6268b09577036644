package hub

import (
	"context"
	"time"
)

// eraseTimeout limits how long Erase waits until this hub has removed the event from memory.
const eraseTimeout = 5 * time.Second

// Erase permanently removes an event from memory and from the engine's storage, on all hubs that share
// the log. Subscribers that resume from a position before the event get no gap, and the event's ID
// remains a valid cursor. A subscriber to which the event is being sent may still receive it.
//
// The error is ErrNoEvent, ErrClosed, or wraps ErrUnavailable. In the last case, the event may have been erased or not.
func (h *Hub) Erase(ctx context.Context, id Cursor) error {
	eraser, ok := h.engine.(Eraser)
	if !ok || id.Epoch != h.epoch || id.Seq == 0 {
		return ErrNoEvent
	}
	h.erasing.Lock()
	defer h.erasing.Unlock()
	if h.replay == nil && !h.retains(id.Seq) {
		return ErrNoEvent
	}
	at, err := eraser.Erase(ctx, id.Seq)
	if err != nil {
		return err
	}
	h.stats.erased.Add(1)
	ctx, cancel := context.WithTimeout(ctx, eraseTimeout)
	defer cancel()
	h.waitDelivered(ctx, at) // if the hub is behind its log, it removes the event from memory later
	return nil
}

// retains reports whether the in-memory log contains the event.
func (h *Hub) retains(seq uint64) bool {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.memlog.event(seq) != nil
}

// applyErasure applies an erasure, an element with Erases set, to the in-memory log and the groups. deliver calls it
// with mu held.
func (h *Hub) applyErasure(element *Event) {
	h.memlog.lastSeq = max(h.memlog.lastSeq, element.ID.Seq)
	if e := h.memlog.erase(element.Erases); e != nil {
		var t topicTokens
		t.split(e.Topic)
		var state gatherState
		for done := false; !done; {
			d := &h.delivery
			d.candidates, done = h.index.gather(d.candidates[:0], &t, &state, h.steps)
			for _, g := range d.candidates {
				g.erase(e)
			}
			h.countSteps(len(d.candidates))
			clear(d.candidates)
		}
	}
	if h.replay != nil {
		h.replay.erase(element.Erases)
	}
}
