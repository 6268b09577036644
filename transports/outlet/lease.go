package outlet

import (
	"time"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/wire"
)

// Lease is what lets a connection be. The Outlet has it, held, from Start on and releases it when
// it is closed.
type Lease interface {
	// Grant is what may be done now; nil: nothing any more.
	Grant() *hub.Grant
	// Judge says what is to be told to a subscriber of the set whose grant has changed; nil: it may
	// go on.
	Judge(set hub.FilterSet) *wire.Problem
	Hold(h hub.Holder) *wire.Problem
	Release(h hub.Holder)
}

// Revise implements hub.Holder: who may not read any more what it reads is told and sent away.
func (o *Outlet) Revise() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.lease != nil {
		o.revise()
	}
}

// expelTime is what a subscriber has to take its last words that has lost its right: within a
// second all is over (PROTOCOL section 7), of which a file takes a part to be reread.
const expelTime = 500 * time.Millisecond

func (o *Outlet) revise() {
	if o.closed || o.ended || o.waiting != nil && o.waiting.expelled != nil {
		return
	}
	p := o.lease.Judge(o.sub.Filters())
	if p == nil {
		return
	}
	o.cfg.Counters.Expelled.Add(1)
	w := o.later()
	w.expelled = time.AfterFunc(expelTime, o.Close)
	// It takes the place of an end that was to come when the events before it are out.
	o.ending, w.end, w.endAt = true, o.failure(p), 0
	o.drain()
}

// Renew has a fresh lease take the place of the one that is held.
// With a problem nothing has changed.
func (o *Outlet) Renew(fresh Lease) *wire.Problem {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed || o.ending {
		return nil
	}
	if p := fresh.Judge(o.sub.Filters()); p != nil {
		return p
	}
	if p := fresh.Hold(o); p != nil {
		return p
	}
	o.lease = fresh
	o.revise() // it may have changed before it was held
	return nil
}
