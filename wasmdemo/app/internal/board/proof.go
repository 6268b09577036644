package board

import (
	"math"
	"slices"

	"github.com/trivium-hub/trivium/hub"
)

// Columns is the number of columns on the page.
const Columns = 3

const (
	maxLog    = 200_000 // maximum number of entries, of 16 bytes each, that are kept for an epoch while a column is behind
	keepKnown = 4_096   // number of entries that are kept after all columns have passed them, to distinguish doubled events from late events
)

// Proof checks whether the columns have received the same events in the same order since a common
// start. An event that one column has received is lost in another column if that column has passed
// the event's position without receiving it. An event that is received twice is doubled. An event
// that is received after a newer event is out of order. If a column has not reached the position of
// an event, it is behind. Events in a reported gap are not lost. The page is part of the hub, so it
// may parse cursors, which are opaque to other clients.
//
// A Proof is not safe for concurrent use.
type Proof struct {
	columns  [Columns]place
	epochs   int    // number of epochs of the log so far
	compared uint64 // number of compared events in epochs that all columns have left
}

// Tally counts a column's events.
type Tally struct {
	Got       uint64 // received events, including doubled ones
	Lost      uint64 // events that the column has passed without a gap
	Doubled   uint64
	Disorder  uint64 // events received after a newer event, or from another epoch without a gap
	Gaps      uint64 // reported gaps
	InGaps    uint64 // events in reported gaps that other columns have received
	Behind    uint64 // events of other columns that this column has not reached yet
	Unchecked uint64 // events that were too far behind to be compared
}

// Faulty reports whether the column lost, repeated or reordered events.
func (t Tally) Faulty() bool { return t.Lost+t.Doubled+t.Disorder > 0 }

// Report is the state of the comparison.
type Report struct {
	Compared uint64 // number of events that all columns have reached
	Columns  [Columns]Tally
	// Lagging marks columns that have not yet reached an event, although another column received
	// the event at least lagLimit ago.
	Lagging [Columns]bool
}

// Faulty reports whether any column is faulty.
func (r Report) Faulty() bool {
	return slices.ContainsFunc(r.Columns[:], Tally.Faulty)
}

// place is a column's position.
type place struct {
	epochLog *epochLog
	seq      uint64 // position in that epoch: every event up to it was received or missed
	Tally
}

// epochLog holds the events of one epoch of the log. At least one column is in that epoch.
type epochLog struct {
	epoch    hub.Epoch
	number   int // 1 for the first epoch that the page received, then 2 and so on
	log      []entry
	floor    uint64 // events up to this seq are removed
	compared uint64 // number of removed events that were compared
	reported [Columns][]span
}

// entry is an event that at least one column has received. Each mask has one bit per column.
type entry struct {
	seq                 uint64
	got, lost, reported mask
}

type mask uint8

// span is the range (after, last] of a gap.
type span struct{ after, last uint64 }

// Start discards all recorded events and results. Afterwards, all columns start after the cursor.
func (p *Proof) Start(at hub.Cursor) {
	*p = Proof{}
	l := p.epochLogOf(at.Epoch)
	for c := range p.columns {
		p.columns[c] = place{epochLog: l, seq: at.Seq}
	}
}

// epochLogOf returns the log of an epoch, and creates it if necessary.
func (p *Proof) epochLogOf(epoch hub.Epoch) *epochLog {
	for _, column := range p.columns {
		if column.epochLog != nil && column.epochLog.epoch == epoch {
			return column.epochLog
		}
	}
	p.epochs++
	return &epochLog{epoch: epoch, number: p.epochs}
}

// Event records an event of a column.
func (p *Proof) Event(c int, id hub.Cursor) {
	s := &p.columns[c]
	s.Got++
	if s.epochLog.epoch != id.Epoch {
		s.Disorder++
		p.move(c, hub.Cursor{Epoch: id.Epoch, Seq: max(id.Seq, 1) - 1})
	}
	l := s.epochLog
	if id.Seq <= l.floor {
		if id.Seq > s.seq {
			s.Unchecked++
			s.seq = id.Seq
		} else {
			s.Doubled++
		}
		return
	}
	bit := mask(1) << c
	at, known := l.find(id.Seq)
	if !known {
		l.log = slices.Insert(l.log, at, entry{seq: id.Seq})
		for other := range p.columns {
			if other != c && p.hasPassed(other, l, id.Seq) {
				p.countMissed(other, l, &l.log[at])
			}
		}
	}
	e := &l.log[at]
	switch {
	case e.got&bit != 0:
		s.Doubled++
	case id.Seq <= s.seq:
		s.Disorder++
		p.undoMissed(c, e)
	default:
		p.advance(c, id.Seq-1)
		s.seq = id.Seq
	}
	e.got |= bit
	p.trim(l)
}

// Gap records a gap in the events of a column. After the gap, the column continues after the
// cursor.
func (p *Proof) Gap(c int, resumed hub.Cursor) {
	s := &p.columns[c]
	s.Gaps++
	p.move(c, resumed)
	p.trim(s.epochLog)
}

// Position records that a column has received everything up to the cursor.
func (p *Proof) Position(c int, at hub.Cursor) {
	if s := &p.columns[c]; s.epochLog.epoch == at.Epoch && at.Seq > s.seq {
		p.advance(c, at.Seq)
		p.trim(s.epochLog)
	}
}

// move moves a column to the position after a reported gap.
func (p *Proof) move(c int, to hub.Cursor) {
	s := &p.columns[c]
	l := s.epochLog
	if l.epoch == to.Epoch && to.Seq < s.seq { // the hub's log now ends before the column's position
		for at, _ := l.find(to.Seq + 1); at < len(l.log); at++ {
			l.log[at].got &^= 1 << c
		}
		s.seq = to.Seq
		return
	}
	if l.epoch != to.Epoch {
		p.recordGap(c, l, span{s.seq, math.MaxUint64})
		s.epochLog, s.seq = p.epochLogOf(to.Epoch), 0
		if !p.hasColumns(l) {
			p.compared += l.compared + uint64(len(l.log))
		}
	}
	p.recordGap(c, s.epochLog, span{s.seq, to.Seq})
	s.seq = to.Seq
}

func (p *Proof) hasColumns(l *epochLog) bool {
	return slices.ContainsFunc(p.columns[:], func(s place) bool { return s.epochLog == l })
}

// recordGap records the gap of a column, so that an event of the gap that another column receives
// later is not counted as lost.
func (p *Proof) recordGap(c int, l *epochLog, gap span) {
	const enough = 64 // maximum number of gaps per column; older gaps are dropped
	l.reported[c] = append(l.reported[c], gap)
	if len(l.reported[c]) > enough {
		l.reported[c] = slices.Delete(l.reported[c], 0, 1)
	}
	from, _ := l.find(gap.after + 1)
	for at := from; at < len(l.log) && l.log[at].seq <= gap.last; at++ {
		if l.log[at].got&(1<<c) == 0 {
			p.countMissed(c, l, &l.log[at])
		}
	}
}

// advance moves a column to seq. Earlier events that the column has not received are counted as
// missed.
func (p *Proof) advance(c int, seq uint64) {
	s := &p.columns[c]
	from, _ := s.epochLog.find(s.seq + 1)
	for at := from; at < len(s.epochLog.log) && s.epochLog.log[at].seq <= seq; at++ {
		if s.epochLog.log[at].got&(1<<c) == 0 {
			p.countMissed(c, s.epochLog, &s.epochLog.log[at])
		}
	}
	s.seq = max(s.seq, seq)
}

// countMissed counts an event that a column has not received, although the column has received a
// later event.
func (p *Proof) countMissed(c int, l *epochLog, e *entry) {
	bit := mask(1) << c
	within := func(gap span) bool { return gap.after < e.seq && e.seq <= gap.last }
	switch {
	case (e.lost|e.reported)&bit != 0:
	case slices.ContainsFunc(l.reported[c], within):
		e.reported |= bit
		p.columns[c].InGaps++
	default:
		e.lost |= bit
		p.columns[c].Lost++
	}
}

// undoMissed undoes countMissed for an event that arrives late.
func (p *Proof) undoMissed(c int, e *entry) {
	bit := mask(1) << c
	if e.lost&bit != 0 {
		p.columns[c].Lost--
	}
	if e.reported&bit != 0 {
		p.columns[c].InGaps--
	}
	e.lost &^= bit
	e.reported &^= bit
}

// hasPassed reports whether column c, which shows one transport, has received everything up to the event
// with this seq.
func (p *Proof) hasPassed(c int, l *epochLog, seq uint64) bool {
	s := &p.columns[c]
	if s.epochLog == l {
		return seq <= s.seq
	}
	return s.epochLog.number > l.number
}

// position is the number of an epoch, and a sequence number in that epoch.
type position struct {
	epoch int
	seq   uint64
}

// newest returns the newest position of any column.
func (p *Proof) newest() (newest position) {
	for _, s := range p.columns {
		if s.epochLog == nil {
			continue
		}
		at := position{s.epochLog.number, s.seq}
		if at.epoch > newest.epoch || at.epoch == newest.epoch && at.seq > newest.seq {
			newest = at
		}
	}
	return newest
}

// reached reports whether a column has reached a position.
func (p *Proof) reached(c int, at position) bool {
	s := &p.columns[c]
	if s.epochLog == nil || s.epochLog.number < at.epoch {
		return false
	}
	return s.epochLog.number > at.epoch || s.seq >= at.seq
}

// trim removes the entries that all columns have passed, but keeps the newest keepKnown of these.
// If more than maxLog entries remain, it keeps only the newest maxLog/2 of all entries.
func (p *Proof) trim(l *epochLog) {
	passed := len(l.log)
	for c := range p.columns {
		switch s := &p.columns[c]; {
		case s.epochLog == l:
			at, _ := l.find(s.seq + 1)
			passed = min(passed, at)
		case s.epochLog.number < l.number:
			passed = 0
		}
	}
	n := max(0, passed-keepKnown)
	if n < keepKnown && len(l.log) <= maxLog {
		return
	}
	if len(l.log)-n > maxLog {
		n = len(l.log) - maxLog/2
	}
	l.floor = l.log[n-1].seq
	l.compared += uint64(min(n, passed))
	l.log = append([]entry(nil), l.log[n:]...)
}

func (l *epochLog) find(seq uint64) (at int, known bool) {
	return slices.BinarySearchFunc(l.log, seq, func(e entry, seq uint64) int {
		switch {
		case e.seq < seq:
			return -1
		case e.seq > seq:
			return 1
		}
		return 0
	})
}

// Report returns the state of the comparison.
func (p *Proof) Report() Report {
	r := Report{Compared: p.compared}
	for c := range p.columns {
		s := &p.columns[c]
		r.Columns[c] = s.Tally
		if s.epochLog == nil {
			continue
		}
		for other, o := range p.columns {
			first := !slices.ContainsFunc(p.columns[:other], func(s place) bool { return s.epochLog == o.epochLog })
			switch {
			case !first:
			case o.epochLog == s.epochLog:
				at, _ := s.epochLog.find(s.seq + 1)
				r.Columns[c].Behind += uint64(len(s.epochLog.log) - at)
			case o.epochLog.number > s.epochLog.number:
				r.Columns[c].Behind += uint64(len(o.epochLog.log))
			}
		}
	}
	for c, s := range p.columns {
		if s.epochLog != nil && !slices.ContainsFunc(p.columns[:c], func(o place) bool { return o.epochLog == s.epochLog }) {
			r.Compared += p.comparedIn(s.epochLog)
		}
	}
	return r
}

// comparedIn returns the number of events of an epoch that all columns have passed.
func (p *Proof) comparedIn(l *epochLog) uint64 {
	passed := len(l.log)
	for _, s := range p.columns {
		switch {
		case s.epochLog == l:
			at, _ := l.find(s.seq + 1)
			passed = min(passed, at)
		case s.epochLog.number < l.number:
			return l.compared
		}
	}
	return l.compared + uint64(passed)
}
