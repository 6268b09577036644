package hub

import "slices"

// Bounds of what waits in a feed for its next round. Past them the round after reads the rest
// from the window.
const (
	maxPendingEvents = 1024
	maxPendingBytes  = 1 << 20
)

// group is the ordered events of one set of filters, shared by all who asked for that set. It
// keeps only what no round has offered yet; the rest is the window's. Guarded by Hub.mu.
type group struct {
	set          FilterSet
	number       uint32   // in the index, with what follows
	anchors      []anchor // where its filters stand
	visitedRound uint64   // by the round of gathering

	subs []*Subscription
	// subsShared means that a worker goes through subs: change a copy.
	subsShared bool

	// last is the seq of the newest event of the set, or the hub's when the feed was made: who
	// stands there or later has nothing to read.
	last uint64
	// Who stands from beforeHole on, before hole, had read all of the set when the log came to the hole
	// that ends there. Zero: it came to none.
	beforeRange, rangeEnd uint64

	from         uint64   // all events of the set in (from, to of the next round] are pending
	pending      []*Event // in order
	pendingBytes int64
	overflow     bool // events after the last pending one were not added
	queued       bool // in the fan-out's queue or with a worker
}

// push adds the newest event, once however many filters of the set selected it.
func (g *group) push(e *Event) {
	g.last = e.ID.Seq
	n := len(g.pending)
	switch {
	case n > 0 && g.pending[n-1] == e:
	case g.overflow:
	case n > 0 && (n == maxPendingEvents || g.pendingBytes+e.size() > maxPendingBytes):
		g.overflow = true
	default:
		g.pending = append(g.pending, e)
		g.pendingBytes += e.size()
	}
}

// skipDeletedRange goes over a hole that ends at seq: the next round begins after it, and who stands before it
// finds it.
func (g *group) skipDeletedRange(seq uint64) {
	if g.last > g.rangeEnd { // else it is the same hole, or one right behind it
		g.beforeRange = g.last
	}
	g.rangeEnd, g.last = seq, seq
	clear(g.pending)
	g.pending, g.pendingBytes, g.overflow = g.pending[:0], 0, true
}

// hadReadAll reports that who stands at seq had read all that there was when the newest hole came.
func (g *group) hadReadAll(seq uint64, l *memlog) bool {
	before, hole := g.beforeRange, g.rangeEnd
	if l.adding && l.deletedTo > g.last { // skip has yet to be called
		if g.last > g.rangeEnd {
			before = g.last
		}
		hole = l.deletedTo
	}
	return before <= seq && seq < hole
}

// nextBatch fills r with what no round has offered and reports whether there was any.
func (g *group) nextBatch(b *Batch, l *memlog) bool {
	to, overtaken := l.lastSeq, false
	if l.adding && g.last <= l.lastSeqBefore {
		to = max(l.lastSeqBefore, g.from) // the newest event may be of the set too
	}
	if g.overflow && len(g.pending) == 0 {
		overtaken = g.from < l.lowWatermark // who stands before the floor reads the window, and finds the gap
		g.from = max(g.from, l.lowWatermark)
		g.pending, to = l.read(g.pending, g.set, g.from, ReadLimit{maxPendingEvents, maxPendingBytes}, false, new(bool))
		g.overflow = to < l.lastSeq
	} else if g.overflow {
		to = g.pending[len(g.pending)-1].ID.Seq
	}
	if len(g.pending) == 0 && !g.overflow && !overtaken {
		g.from = to
		return false
	}
	b.fill(g, g.from, to, g.pending)
	g.from, g.pendingBytes = to, 0
	clear(g.pending)
	g.pending = g.pending[:0]
	if cap(g.pending) > 16 && len(b.Events) < cap(g.pending)/4 {
		g.pending = nil // a burst is over
	}
	return true
}

func (g *group) attach(s *Subscription) {
	g.copySubs()
	s.slot = int32(len(g.subs))
	g.subs = append(g.subs, s)
}

func (g *group) detach(s *Subscription) {
	g.copySubs()
	last := len(g.subs) - 1
	g.subs[s.slot] = g.subs[last]
	g.subs[s.slot].slot = s.slot
	g.subs[last] = nil
	g.subs = g.subs[:last]
}

// copySubs makes subs this feed's alone again, after a worker was lent it.
func (g *group) copySubs() {
	if g.subsShared {
		g.subs = slices.Clone(g.subs)
		g.subsShared = false
	}
}
