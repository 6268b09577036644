package hub

import (
	"runtime"
	"time"
)

// maxVisits bounds the events, or the topics, that are looked at while Hub.mu is held once, so that it is
// held for less than a millisecond. Work that needs to look at more goes on after others had the lock.
const maxVisits = 512

// ReadLimit bounds one read. An event over Bytes still comes, alone.
type ReadLimit struct {
	Events int
	Bytes  int // of data and what stands around it, about
}

// read appends the events of the set that follow seq, and says up to where it has looked:
// everything of the set up to reached is in dst. It must not be asked for what is below floor.
// Scattered is as for merge.
func (l *memlog) read(dst []*Event, set FilterSet, seq uint64, limit ReadLimit, conflate bool, scattered *bool) (_ []*Event, reached uint64) {
	m := l.merge(set, seq, false, scattered)
	last, size := seq, 0
	var scratch topicTokens
	for looked := 0; ; looked++ {
		e := m.next()
		switch {
		case e == nil:
			return dst, l.lastSeq
		case looked == l.visits:
			return dst, seq
		case e.Erases != 0, conflate && e.superseded, !set.match(&scratch, e.Topic):
		case limit.Events == 0, size > 0 && size+int(e.size()) > limit.Bytes:
			return dst, last // more of the set wait
		default:
			dst = append(dst, e)
			last = e.ID.Seq
			limit.Events--
			size += int(e.size())
		}
		seq = e.ID.Seq
	}
}

// lastSearch finds where the newest events of a set begin, piece after piece. Events that come after its
// beginning do not count, and those that are removed meanwhile may.
type lastSearch struct {
	set    FilterSet
	wanted int

	scattered bool // see merge

	lastSeq      uint64 // newest event when the search began
	before       uint64 // all events from here on have been looked at
	found        int
	position     uint64 // before the oldest event that was found; else head
	lowWatermark uint64 // once the search has come to the oldest event: the seq before that
}

func (l *memlog) newLastSearch(set FilterSet, wanted int) *lastSearch {
	return &lastSearch{set: set, wanted: wanted, lastSeq: l.lastSeq, before: l.lastSeq + 1, position: l.lastSeq}
}

// searchLast does one piece of a search and reports whether it is the last.
func (l *memlog) searchLast(s *lastSearch) (done bool) {
	m := l.merge(s.set, s.before, true, &s.scattered)
	var scratch topicTokens
	for range l.visits {
		e := m.next()
		if e == nil {
			s.lowWatermark = l.lowWatermark
			return true
		}
		if s.before = e.ID.Seq; e.Erases != 0 || !s.set.match(&scratch, e.Topic) {
			continue
		}
		s.position = e.ID.Seq - 1
		if s.found++; s.found == s.wanted {
			return true
		}
	}
	return false
}

// newLossSearchSince begins a search for losses of the set among events accepted no earlier than t.
func newLossSearchSince(set FilterSet, t time.Time, conflate bool) *lossSearch {
	return &lossSearch{set: set, conflate: conflate, counts: countsSince(t)}
}

// newLossSearchAfter begins a search for losses of the set after seq.
func newLossSearchAfter(set FilterSet, seq uint64, conflate bool) *lossSearch {
	return &lossSearch{set: set, conflate: conflate, counts: countsAfter(seq), after: seq}
}

func countsSince(t time.Time) func(lossMark) bool {
	return func(m lossMark) bool {
		return m.seq > 0 && (m.time == 0 || !time.Unix(0, m.time).Before(t)) // zero: not known when
	}
}

func countsAfter(seq uint64) func(lossMark) bool { return func(m lossMark) bool { return m.seq > seq } }

// positionSince gives the position before the first event whose Time is t or later. Where some of the set
// were let go, as a search has found, it is a position before them, so that who resumes from it is told.
func (l *memlog) positionSince(t time.Time, lost lossResult) uint64 {
	switch {
	case lost.certain:
		return lost.seq - 1
	case lost.possible:
		return 0 // which is before all that is forgotten
	}
	if i := l.events.search(func(e *Event) bool { return !time.Unix(0, e.maxTime).Before(t) }); i < l.events.len() {
		return l.events.at(i).ID.Seq - 1
	}
	return l.lastSeq
}

// mayBeginBefore reports that the first event whose Time is t or later may lie before the window.
func (l *memlog) mayBeginBefore(t time.Time) bool {
	return l.lowWatermark > 0 && (l.hasEarlierEvents || l.events.len() == 0 || !time.Unix(0, l.events.at(0).maxTime).Before(t))
}

// inPieces has work done a piece at a time with Hub.mu held for reading, until a piece reports that it was
// the last. Long work takes turns with other such work, so that all of it together leaves others half of
// the processors.
func (h *Hub) inPieces(piece func() (done bool)) {
	for long := false; ; long = true {
		if long {
			h.turns <- struct{}{}
		}
		h.mu.RLock()
		done := piece()
		h.mu.RUnlock()
		if long {
			<-h.turns
		}
		if done {
			return
		}
		runtime.Gosched()
	}
}

// WaitTurn blocks until the subscriber may go on with a read that found nothing and has More. End must be
// called after the next read. No lock may be held that a Sink needs.
func (s *Subscription) WaitTurn() (end func()) {
	runtime.Gosched()
	s.hub.turns <- struct{}{}
	return func() { <-s.hub.turns }
}
