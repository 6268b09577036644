package hub

import (
	"time"
)

// maxVisits is the maximum number of events or topics that are visited before Hub.mu is released, so
// that Hub.mu is held for less than a millisecond. Longer work is done in pieces, between which the
// lock is released.
const maxVisits = 512

// read appends the events after seq that match the set. The result reached is the seq up to which all
// matching events have been appended. seq must not be below the low watermark. scattered is passed to merge.
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
			return dst, last // the limit is reached, and more events may match
		default:
			dst = append(dst, e)
			last = e.ID.Seq
			limit.Events--
			size += int(e.size())
		}
		seq = e.ID.Seq
	}
}

// newestEvents describes the newest events that match a set, as far as a search has found them.
type newestEvents struct {
	set          FilterSet
	wanted       int // maximum number of events to find
	found        int
	position     uint64 // position before the oldest event that was found, or the newest position if none was found
	lowWatermark uint64 // low watermark of the in-memory log after all its events were visited; 0: not all were visited
}

// lastSearch is a search of the in-memory log for the newest events that match a set. Each call of searchLast
// does one piece of it. The search ignores events that are added after its start. It may count events that
// are removed while it runs.
type lastSearch struct {
	newestEvents
	before    uint64 // events with this seq or a greater one have been visited
	scattered bool   // passed to merge
}

func (l *memlog) newLastSearch(set FilterSet, wanted int) *lastSearch {
	return &lastSearch{newestEvents: newestEvents{set: set, wanted: wanted, position: l.lastSeq}, before: l.lastSeq + 1}
}

// searchLast does one piece of a search and reports whether the search is complete.
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

// newLossSearchSince returns a search for removed events that match the set and whose time is t or later.
func newLossSearchSince(set FilterSet, t time.Time, conflate bool) *lossSearch {
	return &lossSearch{set: set, conflate: conflate, counts: countsSince(t)}
}

// newLossSearchAfter returns a search for removed events that match the set and have a greater seq than the
// parameter seq.
func newLossSearchAfter(set FilterSet, seq uint64, conflate bool) *lossSearch {
	return &lossSearch{set: set, conflate: conflate, counts: countsAfter(seq), after: seq}
}

func countsSince(t time.Time) func(lossMark) bool {
	return func(m lossMark) bool {
		return m.seq > 0 && (m.time == 0 || !time.Unix(0, m.time).Before(t)) // a time of 0 means unknown
	}
}

func countsAfter(seq uint64) func(lossMark) bool { return func(m lossMark) bool { return m.seq > seq } }

// positionSince returns the position before the first event whose Time is t or later. If lost reports that a
// matching event was removed, the result is a position before that event, so that a subscriber that resumes
// from it receives a gap.
func (l *memlog) positionSince(t time.Time, lost lossResult) uint64 {
	switch lost.kind {
	case certainLoss:
		return lost.seq - 1
	case possibleLoss:
		return 0 // the position before all forgotten losses
	}
	if i := l.events.search(func(e *Event) bool { return !time.Unix(0, e.maxTime).Before(t) }); i < l.events.len() {
		return l.events.at(i).ID.Seq - 1
	}
	return l.lastSeq
}

// mayBeginBefore reports whether the first event whose Time is t or later may be older than the in-memory log.
func (l *memlog) mayBeginBefore(t time.Time) bool {
	return l.lowWatermark > 0 && (l.timesOverlap || l.events.len() == 0 || !time.Unix(0, l.events.at(0).maxTime).Before(t))
}
