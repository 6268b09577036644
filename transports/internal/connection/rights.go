package connection

import (
	"time"

	"github.com/trivium-hub/trivium/auth"
	"github.com/trivium-hub/trivium/transports/problems"
)

// OnRightsChanged implements auth.Holder. It ends the stream if the subscription is no longer
// authorized.
func (w *Writer) OnRightsChanged() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.state != stateCreated {
		w.checkRights()
	}
}

// unauthorizedCloseDelay is the time for which an unauthorized subscriber can read its last
// message. Connections must end within a second (docs/protocol.md#authentication), and reading a
// changed file again takes a part of that second.
const unauthorizedCloseDelay = 500 * time.Millisecond

func (w *Writer) checkRights() {
	if w.state >= stateEnded || w.end != nil && w.end.closeTimer != nil {
		return
	}
	p := w.session.Grant().Authorize(w.sub.Filters())
	if p == nil {
		return
	}
	w.cfg.Counters.Unauthorized.Add(1)
	w.record.replaceReason(ClosedExpelled)
	// This end replaces an end that was scheduled for a later position.
	w.setEnd(problemMessage(p)).closeTimer = time.AfterFunc(unauthorizedCloseDelay, w.Close)
	w.startDrain()
}

// Renew replaces the access of the connection by fresh. If it returns a problem, nothing has
// changed.
func (w *Writer) Renew(fresh auth.Access) *problems.Problem {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.state != stateOpen {
		return nil
	}
	if p := fresh.Grant().Authorize(w.sub.Filters()); p != nil {
		return p
	}
	if p := fresh.Acquire(w); p != nil {
		return p
	}
	w.session = fresh
	w.checkRights() // the rights may have changed before Acquire
	return nil
}
