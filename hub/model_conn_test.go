package hub

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// conn is one connection of the model test: it reads by rounds, as the outlet of a transport
// does, or by Wakeup. It holds all that the hub gives it to the truth.
type conn struct {
	m    *model
	bell Wakeup // nil: by rounds

	mu  sync.Mutex // one goroutine at a time for sub; Hub.mu comes after it
	rng *rand.Rand
	sub *Subscription
	// busy as of an outlet: rounds pass it over, until a drain has read all. Of a Wakeup: it has to
	// read though the bell is silent.
	busy   bool
	closed bool

	// where the client stands, by what it was given
	set      int
	conflate bool
	at       uint64    // all that matches up to here was delivered, or told in a gap
	lost     GapReason // to be told first: the start was not of this log
	after    string    // what that gap has to give as After
	fresh    bool      // nothing has been read since the start
	held     bool      // began after a cursor without filters, and has none yet
	byTime   bool
	byLast   bool
	received []Cursor // the newest few
}

// Ready does what transports/internal/connection does, over a connection that takes a part now and then.
func (c *conn) Ready(r *Batch) {
	if c.bell != nil {
		c.bell.Ready(r)
		return
	}
	c.m.meddle()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.busy || c.closed {
		return
	}
	start, ok := c.sub.Offset(r)
	if !ok {
		c.busy = true
		return
	}
	for start < len(r.Events) {
		b, end := r.Coalesce(0, encodeModel, start)
		var want []byte
		for _, e := range r.Events[start:end] {
			want = append(want, encodeModel(e)...)
		}
		if !bytes.Equal(want, b) {
			c.m.fail("joined %q, want %q", b, want)
		}
		blocked := c.rng.IntN(30) == 0
		if blocked {
			end = start + c.rng.IntN(end-start)
		}
		if end > start {
			seq := r.Events[end-1].ID.Seq
			c.skip(seq)
			c.account(r.Events[start:end], seq, 0)
		}
		if blocked {
			c.busy = true
			return
		}
		start = end
	}
	c.skip(r.To)
	c.account(nil, c.sub.Position().Seq, 0)
}

func (c *conn) skip(seq uint64) {
	c.sub.Advance(seq)
	c.fresh = false
}

func encodeModel(e *Event) []byte { return append(e.ID.AppendText(nil), '\n') }

// read reads once, and tells whether there is more.
func (c *conn) read() bool {
	if c.held {
		if batch := c.sub.Read(wide); batch.Gap != nil || len(batch.Events) > 0 || batch.More {
			c.m.fail("%+v for one without filters", batch)
		}
		return false
	}
	before, position := c.m.floor(), c.sub.Position().Seq
	batch := c.sub.Read(ReadLimit{1 + c.rng.IntN(40), 1 + c.rng.IntN(20_000)})
	after := c.m.floor()
	to := c.sub.Position().Seq
	if batch.More && batch.Gap == nil && len(batch.Events) == 0 && to == position {
		return true // it has begun to look for what was lost
	}
	fellBehind := uint64(0)
	switch g := batch.Gap; {
	case g != nil:
		c.checkGap(g, before, after)
		if batch.FellBehind != !c.fresh {
			c.m.fail("overtaken is %v, fresh %v", batch.FellBehind, c.fresh)
		}
		c.at = max(c.at, g.ResumedAt.Seq)
		if c.lost != "" {
			c.at, c.lost = g.ResumedAt.Seq, ""
		}
	case c.lost != "":
		c.m.fail("no gap for a start by %s", c.after)
		c.lost = ""
	case c.byLast && c.fresh:
		fellBehind = after // the newest that were retained, less what has gone since
	}
	c.fresh = false
	c.account(batch.Events, to, fellBehind)
	return batch.More
}

// checkGap holds a gap to what was removed, between floor before and after the read.
func (c *conn) checkGap(g *Gap, before, after uint64) {
	l, r := c.m.truth, g.ResumedAt.Seq
	if r < before || r > after || g.ResumedAt.Epoch != c.m.hub.epoch {
		c.m.fail("%+v: the floor was %d to %d", g, before, after)
	}
	if c.lost != "" {
		if g.Reason != c.lost || g.After != c.after || g.Certain {
			c.m.fail("%+v for a start by %q (%s)", g, c.after, c.lost)
		}
		return
	}
	if c.byLast && c.fresh {
		c.m.fail("%+v for a start with the last", g)
	}
	want := Cursor{c.m.hub.epoch, c.at}.String()
	if c.fresh && c.byTime {
		want = ""
	}
	if g.Reason != GapExpired || g.After != want || r <= c.at {
		c.m.fail("%+v for one that stands at %d", g, c.at)
	}
	matching := slices.ContainsFunc(l.between(c.set, c.at, r), func(seq uint64) bool { return !l.mustLack(seq) })
	certain, overflowed := l.remembers(c.m.gapTopics, c.set, c.at, r)
	switch {
	case g.Certain && !matching:
		c.m.fail("%+v after %d: only others lost something", g, c.at)
	case !g.Certain && !overflowed:
		c.m.fail("%+v after %d: uncertain within what is remembered", g, c.at)
	case !g.Certain && certain && !c.conflate:
		c.m.fail("%+v after %d: uncertain of what is remembered", g, c.at)
	}
}

// account holds a step of the position to the truth: the events delivered are all that match
// between where the client stood and to, but for those up to overtaken.
func (c *conn) account(events []*Event, to, fellBehind uint64) {
	l, i := c.m.truth, 0
	for _, seq := range l.between(c.set, c.at, to) {
		switch {
		case i < len(events) && events[i].ID.Seq == seq:
			if i++; l.mustLack(seq) {
				c.m.fail("set %d: %d was delivered and had been erased before", c.set, seq)
			}
		case seq <= fellBehind, l.mayLack(seq), c.conflate && l.superseded(seq):
		default:
			c.m.fail("set %d: %d was not delivered between %d and %d (%v) floor %d %+v", c.set, seq, c.at, to, ids(events), c.m.floor(), *c.sub)
		}
	}
	if i < len(events) {
		c.m.fail("set %d: %d was delivered out of turn between %d and %d", c.set, events[i].ID.Seq, c.at, to)
	}
	if to < c.at {
		c.m.fail("the position fell from %d to %d", c.at, to)
	}
	if c.conflate {
		newest := make(map[conflationKey]bool)
		for _, e := range events {
			if key := (conflationKey{e.Topic, e.Key}); e.Key != "" && newest[key] {
				c.m.fail("%s came twice in one conflated batch", key)
			} else {
				newest[key] = true
			}
		}
	}
	for _, e := range events {
		c.received = append(c.received, e.ID)
	}
	c.received = c.received[max(0, len(c.received)-5):]
	c.at = to
}

// drain reads until nothing is left.
func (c *conn) drain() {
	for c.read() {
	}
	c.busy = false
}

// step reads as much as it likes; a slow reader leaves some for later.
func (c *conn) step() {
	c.mu.Lock()
	defer c.mu.Unlock()
	rung := false
	select {
	case <-c.bell:
		rung = true
	default:
	}
	switch {
	case !c.busy && !rung:
	case c.rng.IntN(3) == 0:
		c.busy = c.read()
		if !c.busy && c.bell == nil && c.sub.Behind() {
			c.busy = true
		}
	default:
		c.drain()
	}
}

// change is what an outlet does for a command of its client: catch up, perhaps not wholly, change
// the subscription, and read if there is something to read.
func (c *conn) change(do func()) {
	if !c.busy && c.bell == nil && c.rng.IntN(2) == 0 {
		c.read()
	}
	do()
	if c.bell != nil || c.sub.Behind() {
		c.busy = true
	}
}

// refilter subscribes to another set from the position on.
func (c *conn) refilter() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.sub == nil {
		return
	}
	c.change(func() {
		c.set = c.rng.IntN(len(modelSets))
		c.sub.SetFilters(setOf(modelSets[c.set]...))
		c.held = c.held && len(modelSets[c.set]) == 0
		if c.fresh && c.byTime { // the others begin where the hub has put the first
			c.at = c.sub.Position().Seq
		}
	})
}

// restart begins anew with other filters, somewhere else.
func (c *conn) restart() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.change(func() {
		r := c.choose(c.anyCursor())
		lastSeq := c.m.hub.Position().Seq
		c.sub.Restart(r)
		c.begun(r.Start, lastSeq)
	})
}

func (c *conn) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sub.Close()
	c.closed = true
}

// anyCursor is the position, or an event received lately.
func (c *conn) anyCursor() uint64 {
	if len(c.received) > 0 && c.rng.IntN(2) == 0 {
		return c.received[c.rng.IntN(len(c.received))].Seq
	}
	return c.at
}

// choose makes up a request; seen is a cursor that the client has.
func (c *conn) choose(seen uint64) Request {
	c.set = c.rng.IntN(len(modelSets))
	r := Request{Filters: setOf(modelSets[c.set]...), Conflate: c.conflate}
	lastSeq := c.m.hub.Position()
	switch c.rng.IntN(16) {
	case 0: // the next event
	case 1:
		r.Start.Cursor = &Cursor{lastSeq.Epoch, 0}
	case 2, 3:
		r.Start.Cursor = &Cursor{lastSeq.Epoch, c.rng.Uint64N(lastSeq.Seq + 1)}
	case 4, 5:
		r.Start.Last = 1 + c.rng.IntN(20)
	case 6, 7:
		r.Start.Since = time.Now().Add(-time.Duration(c.rng.IntN(int(time.Since(c.m.begin)) + 1e6)).Round(time.Microsecond))
	case 8:
		r.Start.Cursor = &Cursor{lastSeq.Epoch + 1 + Epoch(c.rng.Uint32N(9)), c.rng.Uint64N(100)}
	case 9:
		r.Start.Cursor = &Cursor{lastSeq.Epoch, lastSeq.Seq + 1e9}
	case 10:
		r.Start.ForeignCursor = []string{"some-id", "not a cursor"}[c.rng.IntN(2)]
	default:
		r.Start.Cursor = &Cursor{lastSeq.Epoch, seen}
	}
	return r
}

// begun takes down where the client stands after a start that found the hub at head or later.
func (c *conn) begun(s Start, lastSeq uint64) {
	c.at, c.lost, c.fresh = c.sub.Position().Seq, "", true
	c.held = len(modelSets[c.set]) == 0 && (s.Cursor != nil || s.ForeignCursor != "")
	c.byTime, c.byLast, c.received = !s.Since.IsZero(), s.Last > 0, nil
	switch {
	case s.Cursor != nil && s.Cursor.Epoch != c.m.hub.epoch:
		c.lost, c.after = GapEpoch, s.Cursor.String()
	case s.Cursor != nil && s.Cursor.Seq > lastSeq+1e6:
		c.lost, c.after = GapFuture, s.Cursor.String()
	case s.Cursor != nil:
		c.at = s.Cursor.Seq
	case s.ForeignCursor != "":
		c.lost, c.after = GapEpoch, s.ForeignCursor
	case c.byLast:
		c.checkLast(s.Last, lastSeq)
	case c.byTime:
		if seq, ok := c.m.truth.firstSince(s.Since, lastSeq); ok {
			c.at = seq - 1
			return
		}
		fallthrough
	default:
		if c.at < lastSeq {
			c.m.fail("begins at %d, the newest was %d", c.at, lastSeq)
		}
	}
}

// checkLast: n events match after the start, or all that are retained, and those that came since.
func (c *conn) checkLast(n int, lastSeq uint64) {
	l := c.m.truth
	if before := len(l.left(c.set, c.at, lastSeq)); before > n {
		c.m.fail("the last %d begin %d before the newest", n, before)
	}
	lowWatermark, now := c.m.floor(), c.m.hub.Position().Seq
	got := slices.DeleteFunc(slices.Clone(l.between(c.set, c.at, now)), l.mustLack)
	if len(got) < n && len(l.left(c.set, lowWatermark, c.at)) > 0 {
		c.m.fail("the last %d begin at %d, and more are retained", n, c.at)
	}
}
