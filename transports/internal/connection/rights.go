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

// unauthorizedCloseDelay is the time that an unauthorized subscriber has to read its last message. The
// hub must close the connection within a second after a change of rights
// (docs/protocol.md#authentication). If the rights are in a file, a part of that second passes before the
// hub reads the changed file.
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
	// The error replaces a last message that was scheduled for a later position, such as a goaway.
	w.setEnd(problemMessage(p)).closeTimer = time.AfterFunc(unauthorizedCloseDelay, w.Close)
	w.startDrain()
}

// Renew replaces the access of the connection with the parameter fresh. If fresh does not authorize the
// subscription or cannot be acquired, Renew returns a problem and changes nothing.
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
