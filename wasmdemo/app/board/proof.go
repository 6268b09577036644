package board

import (
	"math"
	"slices"

	"github.com/trivium-hub/trivium/hub"
)

// Columns is how many there are side by side.
const Columns = 3

const (
	maxLog    = 200_000 // events of one life of the log that wait for a column, 16 bytes each
	keepKnown = 4_096   // events kept after all columns have passed them, to tell what doubled from what was late
)

// Proof finds out whether the columns have the same events in the same order. It compares what
// came since one common start: what one column has and another passed over is lost there, what a
// column gets again is doubled, and what comes after something newer is out of order. What a
// column has yet to reach is only behind; what the hub said is lost is told. The page belongs to the
// hub, so it may look into cursors, which are opaque to others.
//
// It is for one goroutine at a time.
type Proof struct {
	columns  [Columns]standing
	lives    int    // of the log so far
	compared uint64 // events of lives that no column stands in any more
}

// Tally is what a column's events come to.
type Tally struct {
	Got       uint64 // events, each time that one came
	Lost      uint64 // passed over, and no gap told
	Doubled   uint64
	Disorder  uint64 // came after a newer one, or from another life of the log unannounced
	Gaps      uint64 // told
	Told      uint64 // events that the other columns got and a gap told this one it would not
	Behind    uint64 // events that another column has and this one has yet to reach
	Unchecked uint64 // came when the others' were forgotten, so far behind was it
}

// Faulty says whether something came that must not, or did not come that must.
func (t Tally) Faulty() bool { return t.Lost+t.Doubled+t.Disorder > 0 }

// Report is what the proof says at one moment.
type Report struct {
	Compared uint64 // events that all columns have reached
	Columns  [Columns]Tally
}

// Faulty says whether any column is.
func (r Report) Faulty() bool {
	return slices.ContainsFunc(r.Columns[:], Tally.Faulty)
}

// standing is where a column stands.
type standing struct {
	life *life
	seq  uint64 // in that life: all up to it has come, or never will
	Tally
}

// life is one life of the log, of those in which a column stands.
type life struct {
	epoch    hub.Epoch
	number   int // lives are counted in the order in which they were met
	log      []entry
	floor    uint64 // events up to it are forgotten
	compared uint64 // how many of these there were
	told     [Columns][]span
}

// entry is an event that came by some column; each column has a bit in each mask.
type entry struct {
	seq             uint64
	got, lost, told mask
}

type mask uint8

// span is what a gap told: events after the first and up to the last.
type span struct{ after, last uint64 }

// Start forgets everything. All columns begin after the cursor.
func (p *Proof) Start(at hub.Cursor) {
	*p = Proof{}
	l := p.lifeOf(at.Epoch)
	for c := range p.columns {
		p.columns[c] = standing{life: l, seq: at.Seq}
	}
}

// lifeOf finds the life among those where columns stand, or begins it.
func (p *Proof) lifeOf(epoch hub.Epoch) *life {
	for _, column := range p.columns {
		if column.life != nil && column.life.epoch == epoch {
			return column.life
		}
	}
	p.lives++
	return &life{epoch: epoch, number: p.lives}
}

// Event says that an event came by a column.
func (p *Proof) Event(c int, id hub.Cursor) {
	s := &p.columns[c]
	s.Got++
	if s.life.epoch != id.Epoch {
		s.Disorder++
		p.move(c, hub.Cursor{Epoch: id.Epoch, Seq: max(id.Seq, 1) - 1})
	}
	l := s.life
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
				p.miss(other, l, &l.log[at])
			}
		}
	}
	e := &l.log[at]
	switch {
	case e.got&bit != 0:
		s.Doubled++
	case id.Seq <= s.seq:
		s.Disorder++
		p.found(c, e)
	default:
		p.reach(c, id.Seq-1)
		s.seq = id.Seq
	}
	e.got |= bit
	p.trim(l)
}

// Gap says that a column was told of one; it goes on after the cursor.
func (p *Proof) Gap(c int, resumed hub.Cursor) {
	s := &p.columns[c]
	s.Gaps++
	p.move(c, resumed)
	p.trim(s.life)
}

// Position says that a column has all that there is for it up to the cursor.
func (p *Proof) Position(c int, at hub.Cursor) {
	if s := &p.columns[c]; s.life.epoch == at.Epoch && at.Seq > s.seq {
		p.reach(c, at.Seq)
		p.trim(s.life)
	}
}

// move has a column go on elsewhere, having been told so.
func (p *Proof) move(c int, to hub.Cursor) {
	s := &p.columns[c]
	l := s.life
	if l.epoch == to.Epoch && to.Seq < s.seq { // the log ends before where the column was
		for at, _ := l.find(to.Seq + 1); at < len(l.log); at++ {
			l.log[at].got &^= 1 << c
		}
		s.seq = to.Seq
		return
	}
	if l.epoch != to.Epoch {
		p.tell(c, l, span{s.seq, math.MaxUint64})
		s.life, s.seq = p.lifeOf(to.Epoch), 0
		if !p.inhabited(l) {
			p.compared += l.compared + uint64(len(l.log))
		}
	}
	p.tell(c, s.life, span{s.seq, to.Seq})
	s.seq = to.Seq
}

func (p *Proof) inhabited(l *life) bool {
	return slices.ContainsFunc(p.columns[:], func(s standing) bool { return s.life == l })
}

// tell notes a told gap, also for events in it that come by other columns later.
func (p *Proof) tell(c int, l *life, gap span) {
	const enough = 64 // a column that is told more often remembers the newest
	l.told[c] = append(l.told[c], gap)
	if len(l.told[c]) > enough {
		l.told[c] = slices.Delete(l.told[c], 0, 1)
	}
	from, _ := l.find(gap.after + 1)
	for at := from; at < len(l.log) && l.log[at].seq <= gap.last; at++ {
		if l.log[at].got&(1<<c) == 0 {
			p.miss(c, l, &l.log[at])
		}
	}
}

// reach has a column pass over all that it has not got up to seq.
func (p *Proof) reach(c int, seq uint64) {
	s := &p.columns[c]
	from, _ := s.life.find(s.seq + 1)
	for at := from; at < len(s.life.log) && s.life.log[at].seq <= seq; at++ {
		if s.life.log[at].got&(1<<c) == 0 {
			p.miss(c, s.life, &s.life.log[at])
		}
	}
	s.seq = max(s.seq, seq)
}

// miss counts an event that a column has passed without getting it.
func (p *Proof) miss(c int, l *life, e *entry) {
	bit := mask(1) << c
	within := func(gap span) bool { return gap.after < e.seq && e.seq <= gap.last }
	switch {
	case (e.lost|e.told)&bit != 0:
	case slices.ContainsFunc(l.told[c], within):
		e.told |= bit
		p.columns[c].Told++
	default:
		e.lost |= bit
		p.columns[c].Lost++
	}
}

// found takes back that an event was missed.
func (p *Proof) found(c int, e *entry) {
	bit := mask(1) << c
	if e.lost&bit != 0 {
		p.columns[c].Lost--
	}
	if e.told&bit != 0 {
		p.columns[c].Told--
	}
	e.lost &^= bit
	e.told &^= bit
}

// hasPassed says whether a column has been at an event's place in a life.
func (p *Proof) hasPassed(c int, l *life, seq uint64) bool {
	s := &p.columns[c]
	if s.life == l {
		return seq <= s.seq
	}
	return s.life.number > l.number
}

// trim forgets what all columns have passed but for the newest of it, and of the rest what is too
// much.
func (p *Proof) trim(l *life) {
	passed := len(l.log)
	for c := range p.columns {
		switch s := &p.columns[c]; {
		case s.life == l:
			at, _ := l.find(s.seq + 1)
			passed = min(passed, at)
		case s.life.number < l.number:
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

func (l *life) find(seq uint64) (at int, known bool) {
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

// Report says how it stands.
func (p *Proof) Report() Report {
	r := Report{Compared: p.compared}
	for c := range p.columns {
		s := &p.columns[c]
		r.Columns[c] = s.Tally
		if s.life == nil {
			continue
		}
		for other, o := range p.columns {
			first := !slices.ContainsFunc(p.columns[:other], func(s standing) bool { return s.life == o.life })
			switch {
			case !first:
			case o.life == s.life:
				at, _ := s.life.find(s.seq + 1)
				r.Columns[c].Behind += uint64(len(s.life.log) - at)
			case o.life.number > s.life.number:
				r.Columns[c].Behind += uint64(len(o.life.log))
			}
		}
	}
	for c, s := range p.columns {
		if s.life != nil && !slices.ContainsFunc(p.columns[:c], func(o standing) bool { return o.life == s.life }) {
			r.Compared += p.comparedIn(s.life)
		}
	}
	return r
}

// comparedIn counts the events of a life that all columns have passed.
func (p *Proof) comparedIn(l *life) uint64 {
	passed := len(l.log)
	for _, s := range p.columns {
		switch {
		case s.life == l:
			at, _ := l.find(s.seq + 1)
			passed = min(passed, at)
		case s.life.number < l.number:
			return l.compared
		}
	}
	return l.compared + uint64(passed)
}
