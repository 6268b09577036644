package hub

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// conn is one connection of the model test. It receives events either from batches, as a connection
// writer does, or after a Wakeup. It compares everything that it receives with the log that truth has
// recorded.
type conn struct {
	m      *model
	wakeup Wakeup // nil: the connection receives batches

	mu  sync.Mutex // held while sub is used; locked before Hub.mu
	rng *rand.Rand
	sub *Subscription
	// writing is set while a drain owns the connection, as in a connection writer: Ready then does
	// nothing until the drain has read everything. With a Wakeup, writing is set while there is
	// more to read and no further wakeup will follow.
	writing bool
	closed  bool

	// These fields are the client's state, derived from what it received.
	set      int
	conflate bool
	position uint64    // all matching events up to here were delivered or reported in a gap
	foreign  GapReason // the start cursor was of another log; this reason must be reported first
	gapAfter string    // expected Gap.After
	unread   bool      // nothing was read since the start
	paused   bool      // started at a cursor, has read nothing, and has no filters
	byCursor bool
	byTime   bool
	byLast   bool
	received []Cursor // the newest few cursors
}

// Ready behaves like a connection writer (see transports/internal/connection) whose peer sometimes
// accepts only a part of a write.
func (c *conn) Ready(batch *Batch) {
	if c.wakeup != nil {
		c.wakeup.Ready(batch)
		return
	}
	c.m.delayBatch()
	c.m.changeFiltersInBatch()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.writing || c.closed {
		return
	}
	start, ok := c.sub.Offset(batch)
	if !ok {
		c.writing = true
		return
	}
	for start < len(batch.Events) {
		b, end := batch.Coalesce(0, c.m.encode, start)
		var want []byte
		for _, e := range batch.Events[start:end] {
			want = append(want, encodeModel(e)...)
		}
		if !bytes.Equal(want, b) {
			c.m.fail("coalesced bytes are %q, want %q", b, want)
		}
		blocked := c.rng.IntN(30) == 0
		if blocked {
			end = start + c.rng.IntN(end-start)
		}
		if end > start {
			seq := batch.Events[end-1].ID.Seq
			c.skip(seq)
			c.checkDelivered(batch.Events[start:end], seq, 0)
		}
		if blocked {
			c.writing = true
			return
		}
		start = end
	}
	c.skip(batch.To)
	c.checkDelivered(nil, c.sub.Position().Seq, 0)
}

func (c *conn) skip(seq uint64) {
	c.sub.Advance(seq)
	c.unread = false
}

func encodeModel(e *Event) []byte { return append(e.ID.AppendText(nil), '\n') }

// encode encodes an event, and adds an attachment to the event if it is in the in-memory log.
func (m *model) encode(e *Event) []byte {
	m.attached.Add(1)
	if !attachTo(e, func() { m.attached.Add(-1) }) {
		m.attached.Add(-1)
	}
	return encodeModel(e)
}

// read calls Read once, checks the result, and reports whether there is more to read.
func (c *conn) read() bool {
	if c.paused {
		if batch := c.sub.Read(wideLimit); batch.Gap != nil || len(batch.Events) > 0 || batch.More {
			c.m.fail("Read returned %+v for a subscription without filters", batch)
		}
		return false
	}
	before, position := c.m.lowWatermark(), c.sub.Position().Seq
	batch := c.sub.Read(ReadLimit{1 + c.rng.IntN(40), 1 + c.rng.IntN(20_000)})
	after := c.m.lowWatermark()
	to := c.sub.Position().Seq
	if batch.More && batch.Gap == nil && len(batch.Events) == 0 && to == position {
		return true // the subscription is still searching for losses
	}
	fellBehind := uint64(0)
	switch g := batch.Gap; {
	case g != nil:
		c.checkGap(g, before, after)
		if batch.FellBehind != !c.unread {
			c.m.fail("FellBehind is %v, although unread is %v", batch.FellBehind, c.unread)
		}
		c.position = max(c.position, g.ResumedAt.Seq)
		if c.foreign != "" {
			c.position, c.foreign = g.ResumedAt.Seq, ""
		}
	case c.foreign != "":
		c.m.fail("no gap for a start with the cursor %s", c.gapAfter)
		c.foreign = ""
	case c.byLast && c.unread:
		fellBehind = after // after the start, retention may have removed some of the newest n events
	}
	c.unread = false
	c.checkDelivered(batch.Events, to, fellBehind)
	return batch.More
}

// checkGap compares a gap with the events that were removed. before and after are the low
// watermarks before and after the read.
func (c *conn) checkGap(g *Gap, before, after uint64) {
	l, r := c.m.truth, g.ResumedAt.Seq
	if r < before || r > after || g.ResumedAt.Epoch != c.m.hub.epoch {
		c.m.fail("gap %+v: the low watermark was between %d and %d", g, before, after)
	}
	if c.foreign != "" {
		if g.Reason != c.foreign || g.After != c.gapAfter || g.Certain {
			c.m.fail("gap %+v for a start with the cursor %q, want the reason %s", g, c.gapAfter, c.foreign)
		}
		return
	}
	if c.byLast && c.unread {
		c.m.fail("gap %+v for a start with the newest events", g)
	}
	want := Cursor{c.m.hub.epoch, c.position}.String()
	if c.unread && c.byTime {
		want = ""
	}
	if g.Reason != GapExpired || g.After != want || r <= c.position {
		c.m.fail("gap %+v at position %d", g, c.position)
	}
	matching := slices.ContainsFunc(l.between(c.set, c.position, r), func(seq uint64) bool { return !l.mustLack(seq) })
	certain, overflowed := l.remembers(c.m.gapTopics, c.set, c.position, r)
	switch {
	case g.Certain && !matching:
		c.m.fail("gap %+v after %d: no event that matches the filters was lost", g, c.position)
	case !g.Certain && !overflowed:
		c.m.fail("gap %+v after %d: not certain, although all losses are recorded", g, c.position)
	case !g.Certain && certain && !c.conflate:
		c.m.fail("gap %+v after %d: not certain, although this loss is recorded", g, c.position)
	}
}

// checkDelivered checks the events that the client received while its position moved to the parameter to.
// They must be exactly the matching events between the old and the new position. Events up to fellBehind may
// be missing.
func (c *conn) checkDelivered(events []*Event, to, fellBehind uint64) {
	l, i := c.m.truth, 0
	for _, seq := range l.between(c.set, c.position, to) {
		switch {
		case i < len(events) && events[i].ID.Seq == seq:
			if i++; l.mustLack(seq) {
				c.m.fail("set %d: event %d was delivered although it had been erased before", c.set, seq)
			}
		case seq <= fellBehind, l.mayLack(seq), c.conflate && l.superseded(seq):
		default:
			c.m.fail("set %d: event %d was not delivered between %d and %d (%v), low watermark %d, %+v", c.set, seq, c.position, to, ids(events), c.m.lowWatermark(), *c.sub)
		}
	}
	if i < len(events) {
		c.m.fail("set %d: event %d was delivered out of order between %d and %d", c.set, events[i].ID.Seq, c.position, to)
	}
	if to < c.position {
		c.m.fail("the position moved back from %d to %d", c.position, to)
	}
	if c.conflate {
		newest := make(map[conflationKey]bool)
		for _, e := range events {
			if key := (conflationKey{e.Topic, e.Key}); e.Key != "" && newest[key] {
				c.m.fail("%s is twice in one conflated batch", key)
			} else {
				newest[key] = true
			}
		}
	}
	for _, e := range events {
		c.received = append(c.received, e.ID)
	}
	c.received = c.received[max(0, len(c.received)-5):]
	c.position = to
}

// drain reads until nothing is left.
func (c *conn) drain() {
	for c.read() {
	}
	c.writing = false
}

// step reads if there may be something to read. Sometimes it behaves like a slow reader: it calls read only
// once, and leaves the other events unread.
func (c *conn) step() {
	c.mu.Lock()
	defer c.mu.Unlock()
	woken := false
	select {
	case <-c.wakeup:
		woken = true
	default:
	}
	switch {
	case !c.writing && !woken:
	case c.rng.IntN(3) == 0:
		c.writing = c.read()
		if !c.writing && c.wakeup == nil && c.sub.Behind() {
			c.writing = true
		}
	default:
		c.drain()
	}
}

// change behaves like a connection writer that executes a command of its client. It sometimes reads some
// events first. Then it calls do to change the subscription, and sets writing if there may be something to
// read.
func (c *conn) change(do func()) {
	if !c.writing && c.wakeup == nil && c.rng.IntN(2) == 0 {
		c.read()
	}
	do()
	if c.wakeup != nil || c.sub.Behind() {
		c.writing = true
	}
}

// refilter replaces the filters. The position of the subscription does not change.
func (c *conn) refilter() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.sub == nil {
		return
	}
	c.change(func() {
		c.set = c.m.sets[c.rng.IntN(len(c.m.sets))]
		c.sub.SetFilters(setOf(modelSets[c.set]...))
		c.paused = c.byCursor && c.unread && len(modelSets[c.set]) == 0
		if c.unread && c.byTime { // a start by time finds its position when the first filters are set
			c.position = c.sub.Position().Seq
		}
	})
}

// restart restarts the subscription at another position with other filters.
func (c *conn) restart() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.change(func() {
		r := c.randomRequest(c.anyCursor())
		lastSeq := c.m.hub.Position().Seq
		c.sub.Restart(r)
		c.recordStart(r.Start, lastSeq)
	})
}

func (c *conn) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sub.Close()
	c.closed = true
}

// anyCursor returns the seq of the current position, or of a recently received event.
func (c *conn) anyCursor() uint64 {
	if len(c.received) > 0 && c.rng.IntN(2) == 0 {
		return c.received[c.rng.IntN(len(c.received))].Seq
	}
	return c.position
}

// randomRequest returns a random request. If the request starts with a cursor, the seq of the cursor is often
// equal to the parameter seen.
func (c *conn) randomRequest(seen uint64) Request {
	c.set = c.m.sets[c.rng.IntN(len(c.m.sets))]
	r := Request{Filters: setOf(modelSets[c.set]...), Conflate: c.conflate}
	lastSeq := c.m.hub.Position()
	switch c.rng.IntN(16) {
	case 0: // the zero Start
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

// recordStart sets the client's state after a start. The hub's last seq at the start was lastSeq or
// greater.
func (c *conn) recordStart(s Start, lastSeq uint64) {
	c.position, c.foreign, c.unread = c.sub.Position().Seq, "", true
	c.byCursor = s.Cursor != nil || s.ForeignCursor != ""
	c.paused = c.byCursor && len(modelSets[c.set]) == 0
	c.byTime, c.byLast, c.received = !s.Since.IsZero(), s.Last > 0, nil
	switch {
	case s.Cursor != nil && s.Cursor.Epoch != c.m.hub.epoch:
		c.foreign, c.gapAfter = GapEpoch, s.Cursor.String()
	case s.Cursor != nil && s.Cursor.Seq > lastSeq+1e6:
		c.foreign, c.gapAfter = GapFuture, s.Cursor.String()
	case s.Cursor != nil:
		c.position = s.Cursor.Seq
	case s.ForeignCursor != "":
		c.foreign, c.gapAfter = GapEpoch, s.ForeignCursor
	case c.byLast:
		c.checkLast(s.Last, lastSeq)
	case c.byTime:
		if seq, ok := c.m.truth.firstSince(s.Since, lastSeq); ok {
			c.position = seq - 1
			return
		}
		fallthrough
	default:
		if c.position < lastSeq {
			c.m.fail("the subscription begins at %d, the newest event was %d", c.position, lastSeq)
		}
	}
}

// checkLast checks a start with the newest n events. The subscriber must receive n matching events, or
// all retained ones if there are fewer, and the events that are published later.
func (c *conn) checkLast(n int, lastSeq uint64) {
	l := c.m.truth
	if before := len(l.remaining(c.set, c.position, lastSeq)); before > n {
		c.m.fail("a start with the last %d events begins %d events before the newest", n, before)
	}
	lowWatermark, now := c.m.lowWatermark(), c.m.hub.Position().Seq
	got := slices.DeleteFunc(slices.Clone(l.between(c.set, c.position, now)), l.mustLack)
	if len(got) < n && len(l.remaining(c.set, lowWatermark, c.position)) > 0 {
		c.m.fail("a start with the last %d events begins at %d, although more are retained", n, c.position)
	}
}
