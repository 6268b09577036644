package connection

import (
	"time"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/wire"
)

// Lease is what lets a connection be. The Outlet has it, held, from Start on and releases it when
// it is closed.
type TokenSession interface {
	// Grant is what may be done now; nil: nothing any more.
	Grant() *hub.Grant
	// Judge says what is to be told to a subscriber of the set whose grant has changed; nil: it may
	// go on.
	Authorize(set hub.FilterSet) *wire.Problem
	Acquire(h hub.Holder) *wire.Problem
	Release(h hub.Holder)
}

// Revise implements hub.Holder: who may not read any more what it reads is told and sent away.
func (w *Writer) OnRightsChanged() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.session != nil {
		w.checkRights()
	}
}

// expelTime is what a subscriber has to take its last words that has lost its right: within a
// second all is over (docs/protocol.md#authentication), of which a file takes a part to be reread.
const unauthorizedCloseDelay = 500 * time.Millisecond

func (w *Writer) checkRights() {
	if w.closed || w.ended || w.queued != nil && w.queued.closeTimer != nil {
		return
	}
	p := w.session.Authorize(w.sub.Filters())
	if p == nil {
		return
	}
	w.cfg.Counters.Unauthorized.Add(1)
	q := w.pending()
	q.closeTimer = time.AfterFunc(unauthorizedCloseDelay, w.Close)
	// It takes the place of an end that was to come when the events before it are out.
	w.ending, q.end, q.endAt = true, w.problemEnding(p), 0
	w.startDrain()
}

// Renew has a fresh lease take the place of the one that is held.
// With a problem nothing has changed.
func (w *Writer) Renew(fresh TokenSession) *wire.Problem {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || w.ending {
		return nil
	}
	if p := fresh.Authorize(w.sub.Filters()); p != nil {
		return p
	}
	if p := fresh.Acquire(w); p != nil {
		return p
	}
	w.session = fresh
	w.checkRights() // it may have changed before it was held
	return nil
}
