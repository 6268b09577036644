package hub

import "slices"

// Bounds of what waits in a feed for its next round. Past them the round after reads the rest
// from the window.
const (
	maxPendingEvents = 1024
	maxPendingBytes  = 1 << 20
)

// feed is the ordered events of one set of filters, shared by all who asked for that set. It
// keeps only what no round has offered yet; the rest is the window's. Guarded by Hub.mu.
type feed struct {
	set     FilterSet
	number  uint32   // in the index, with what follows
	anchors []anchor // where its filters stand
	visited uint64   // by the round of gathering

	subs []*Subscription
	// lent means that a worker goes through subs: change a copy.
	lent bool

	// last is the seq of the newest event of the set, or the hub's when the feed was made: who
	// stands there or later has nothing to read.
	last uint64
	// Who stands from beforeHole on, before hole, had read all of the set when the log came to the hole
	// that ends there. Zero: it came to none.
	beforeHole, hole uint64

	from         uint64   // all events of the set in (from, to of the next round] are pending
	pending      []*Event // in order
	pendingBytes int64
	overflow     bool // events after the last pending one were not added
	queued       bool // in the fan-out's queue or with a worker
}

// push adds the newest event, once however many filters of the set selected it.
func (f *feed) push(e *Event) {
	f.last = e.ID.Seq
	n := len(f.pending)
	switch {
	case n > 0 && f.pending[n-1] == e:
	case f.overflow:
	case n > 0 && (n == maxPendingEvents || f.pendingBytes+e.size() > maxPendingBytes):
		f.overflow = true
	default:
		f.pending = append(f.pending, e)
		f.pendingBytes += e.size()
	}
}

// skip goes over a hole that ends at seq: the next round begins after it, and who stands before it
// finds it.
func (f *feed) skip(seq uint64) {
	if f.last > f.hole { // else it is the same hole, or one right behind it
		f.beforeHole = f.last
	}
	f.hole, f.last = seq, seq
	clear(f.pending)
	f.pending, f.pendingBytes, f.overflow = f.pending[:0], 0, true
}

// hadRead reports that who stands at seq had read all that there was when the newest hole came.
func (f *feed) hadRead(seq uint64, w *window) bool {
	before, hole := f.beforeHole, f.hole
	if w.pushing && w.passing > f.last { // skip has yet to be called
		if f.last > f.hole {
			before = f.last
		}
		hole = w.passing
	}
	return before <= seq && seq < hole
}

// next fills r with what no round has offered and reports whether there was any.
func (f *feed) next(r *Round, w *window) bool {
	to, overtaken := w.head, false
	if w.pushing && f.last <= w.settled {
		to = max(w.settled, f.from) // the newest event may be of the set too
	}
	if f.overflow && len(f.pending) == 0 {
		overtaken = f.from < w.floor // who stands before the floor reads the window, and finds the gap
		f.from = max(f.from, w.floor)
		f.pending, to = w.read(f.pending, f.set, f.from, ReadLimit{maxPendingEvents, maxPendingBytes}, false, new(bool))
		f.overflow = to < w.head
	} else if f.overflow {
		to = f.pending[len(f.pending)-1].ID.Seq
	}
	if len(f.pending) == 0 && !f.overflow && !overtaken {
		f.from = to
		return false
	}
	r.reset(f, f.from, to, f.pending)
	f.from, f.pendingBytes = to, 0
	clear(f.pending)
	f.pending = f.pending[:0]
	if cap(f.pending) > 16 && len(r.Events) < cap(f.pending)/4 {
		f.pending = nil // a burst is over
	}
	return true
}

func (f *feed) attach(s *Subscription) {
	f.own()
	s.slot = int32(len(f.subs))
	f.subs = append(f.subs, s)
}

func (f *feed) detach(s *Subscription) {
	f.own()
	last := len(f.subs) - 1
	f.subs[s.slot] = f.subs[last]
	f.subs[s.slot].slot = s.slot
	f.subs[last] = nil
	f.subs = f.subs[:last]
}

// own makes subs this feed's alone again, after a worker was lent it.
func (f *feed) own() {
	if f.lent {
		f.subs = slices.Clone(f.subs)
		f.lent = false
	}
}
