package hub

import (
	"runtime"
	"time"
	"unicode/utf8"
)

// Start specifies where a subscription begins. At most one field may be set. With the zero Start, a subscription begins
// after the newest event and receives only later events.
type Start struct {
	// Cursor is the position after which the subscription starts.
	Cursor *Cursor
	// ForeignCursor is a string that is not a cursor of any hub. It is treated as a cursor of another epoch.
	ForeignCursor string
	// Last is the number of past events that the subscription receives: the newest that match. The maximum is
	// MaxLast.
	Last int
	// Since is the time of the start: the subscription starts with the first event whose time is
	// Since or later. It may be a future time.
	Since time.Time
}

// origin returns the kind of the start.
func (s *Start) origin() origin {
	switch {
	case s.Cursor != nil || s.ForeignCursor != "":
		return byCursor
	case s.Last > 0:
		return byLast
	case !s.Since.IsZero():
		return byTime
	default:
		return byNewest
	}
}

// MaxLast is the maximum of Start.Last.
const MaxLast = 1000

// foreignStart describes a start with a cursor that is not in this log.
type foreignStart struct {
	gap    Gap
	cursor string // cursor for clients that resume before the gap was reported to them
}

// locatedStart is the part of a start that Hub.Locate determines from the in-memory log.
type locatedStart struct {
	last     newestEvents
	position uint64 // position of a start by time
}

// Locate determines the start position of the request, and returns the request with it. That may take a
// long time for a start with Last or Since. Subscribe and Restart call it themselves. If the caller of
// Restart holds a lock that its Sink needs, it must call Locate first, without the lock.
func (h *Hub) Locate(r Request) Request {
	if r.located != nil {
		return r
	}
	switch r.Start.origin() {
	case byLast:
		r.located = &locatedStart{last: h.findLast(r.Filters, r.Start.Last)}
	case byTime:
		r.located = &locatedStart{position: h.findSince(r.Filters, r.Start.Since, r.Conflate)}
	}
	return r
}

func (h *Hub) findLast(set FilterSet, wanted int) newestEvents {
	var s *lastSearch
	h.inPieces(func() (done bool) {
		if s == nil {
			s = h.memlog.newLastSearch(set, wanted)
		}
		return h.memlog.searchLast(s)
	})
	return s.newestEvents
}

func (h *Hub) findSince(set FilterSet, t time.Time, conflate bool) (position uint64) {
	s := newLossSearchSince(set, t, conflate)
	h.inPieces(func() (done bool) {
		lost, done := h.memlog.topics.searchLosses(s, h.memlog.visits)
		if done {
			position = h.memlog.positionSince(t, lost)
		}
		return done
	})
	return position
}

// inPieces calls piece repeatedly until it returns true, and holds a read lock on Hub.mu during each call only. For the
// second and each later call, it takes a place in Hub.turns: at most half as many long searches as there are
// processors run at the same time.
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

// setStart sets the position that the request specifies. The request must be a result of Locate. Hub.mu must
// be held.
func (s *Subscription) setStart(r Request) {
	l, start := s.hub.memlog, r.Start
	s.position, s.state, s.origin, s.since = l.lastSeq, unread, start.origin(), start.Since
	s.stopReads()
	s.search, s.foreign, s.found, s.density = nil, nil, nil, density{}
	switch s.origin {
	case byCursor:
		s.startAfter(start.Cursor, start.ForeignCursor)
	case byLast:
		last := r.located.last
		s.position = last.position
		if s.hub.replay != nil && last.found < last.wanted && last.lowWatermark > 0 && r.Filters.Len() > 0 {
			last.set = s.set() // the set that the group shares, so that equal questions compare as equal
			s.locate(startQuestion{last: last})
		}
	case byTime:
		s.position = r.located.position
		if s.hub.replay != nil && l.mayBeginBefore(start.Since) {
			s.locate(startQuestion{since: start.Since.UTC().Round(0)})
		}
	}
}

// startAfter sets the position to the cursor c. If c is nil, text is a string that is not a cursor of
// any hub. Hub.mu must be held.
func (s *Subscription) startAfter(c *Cursor, text string) {
	switch {
	case c == nil:
		s.startForeign(GapEpoch, text)
	case c.Epoch != s.hub.epoch:
		s.startForeign(GapEpoch, c.String())
	case c.Seq <= s.hub.memlog.lastSeq:
		s.position = c.Seq
	case s.hub.replay == nil:
		s.startForeign(GapFuture, c.String())
	default:
		s.position = c.Seq
		s.locate(startQuestion{})
	}
}

// startForeign makes the subscription start with a cursor that is not in this log.
func (s *Subscription) startForeign(reason GapReason, after string) {
	f := &foreignStart{gap: Gap{Reason: reason, After: after}, cursor: after}
	if !IsCursor(after) {
		f.cursor = Cursor{Epoch: ^s.hub.epoch}.String() // a cursor of another epoch has the same effect as the original string, and contains only safe characters
	}
	if len(after) > maxAfterLen || !utf8.ValidString(after) {
		f.gap.After = ""
	}
	s.state, s.foreign = foreign, f
}

// maxAfterLen is the maximum length, in bytes, of an invalid cursor that Gap.After repeats.
const maxAfterLen = 256
