package hub

import (
	"time"
	"unicode/utf8"
)

// Start says where a subscription begins. At most one of its members is set; the zero Start is
// the position of the newest event, so that the next one comes first.
type Start struct {
	// Cursor: after this position.
	Cursor *Cursor
	// ForeignCursor: the text of a position that is no cursor of any hub; it is answered as a cursor
	// of another epoch.
	ForeignCursor string
	// Last: with the newest Last retained events of the filters, at most MaxLast.
	Last int
	// Since: with the first event accepted no earlier, be that a time to come.
	Since time.Time
}

// MaxLast bounds Start.Last.
const MaxLast = 1000

// foreignStart is a start that was not of this log.
type foreignStart struct {
	gap    Gap
	cursor string // what was asked for, as text
}

// origin is how the position was given.
type origin uint8

const (
	byCursor origin = iota // or the newest event
	byLast
	byTime
)

// locatedStart is where a request begins, as far as the window can tell.
type locatedStart struct {
	last     *lastSearch
	position uint64 // of a start by time
}

// Locate returns the request with its beginning found, which may take long where the request begins with the
// newest events of its filters, or at a time. Subscribe and Restart do so themselves. A caller of Restart that
// holds a lock which its Sink needs locates the request before.
func (h *Hub) Locate(r Request) Request {
	start := &r.Start
	switch {
	case r.located != nil || start.Cursor != nil || start.ForeignCursor != "":
	case start.Last > 0:
		r.located = &locatedStart{last: h.findLast(r.Filters, start.Last)}
	case !start.Since.IsZero():
		r.located = &locatedStart{position: h.findSince(r.Filters, start.Since, r.Conflate)}
	}
	return r
}

func (h *Hub) findLast(set FilterSet, wanted int) (s *lastSearch) {
	h.inPieces(func() (done bool) {
		if s == nil {
			s = h.memlog.newLastSearch(set, wanted)
		}
		return h.memlog.searchLast(s)
	})
	return s
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

// setStart puts the subscription where the request, which has been located, says. Called with Hub.mu held.
func (s *Subscription) setStart(r Request) {
	l, epoch := s.hub.memlog, s.hub.epoch
	s.paused = r.Filters.Len() == 0 && (r.Start.Cursor != nil || r.Start.ForeignCursor != "")
	s.position, s.foreign, s.started, s.origin, s.since = l.lastSeq, nil, false, byCursor, r.Start.Since
	s.unconfirmed, s.locatingTime, s.scan = false, false, nil
	if s.hub.replay != nil {
		s.hub.replay.dropQueries(s)
	}
	s.stopSearches()
	switch start := r.Start; {
	case start.Cursor != nil && start.Cursor.Epoch != epoch:
		s.foreign = s.newForeignStart(GapEpoch, start.Cursor.String())
	case start.Cursor != nil && start.Cursor.Seq > l.lastSeq && s.hub.replay != nil:
		s.position, s.unconfirmed = start.Cursor.Seq, true
	case start.Cursor != nil && start.Cursor.Seq > l.lastSeq:
		s.foreign = s.newForeignStart(GapFuture, start.Cursor.String())
	case start.Cursor != nil:
		s.position = start.Cursor.Seq
	case start.ForeignCursor != "":
		s.foreign = s.newForeignStart(GapEpoch, start.ForeignCursor)
	case start.Last > 0:
		last := r.located.last
		s.position, s.origin = last.position, byLast
		if s.hub.replay != nil && last.found < start.Last && last.lowWatermark > 0 && r.Filters.Len() > 0 {
			s.position, s.scan = 0, newBackwardScan(r.Filters, last.lowWatermark, last.position, last.found, start.Last)
		}
	case !start.Since.IsZero():
		s.position, s.origin = r.located.position, byTime
		if s.hub.replay != nil && l.mayBeginBefore(start.Since) {
			s.position, s.locatingTime = 0, true
		}
	}
}

// newForeignStart is the start after a cursor that is not of this log.
func (s *Subscription) newForeignStart(reason GapReason, after string) *foreignStart {
	l := &foreignStart{gap: Gap{Reason: reason, After: after}, cursor: after}
	if !isCursorText(after) {
		l.cursor = Cursor{Epoch: ^s.hub.epoch}.String() // as foreign as what was given, and safe in a stream
	}
	if len(after) > maxAfterLen || !utf8.ValidString(after) {
		l.gap.After = ""
	}
	return l
}

// maxAfterLen bounds what is repeated of a text that is no cursor.
const maxAfterLen = 256 // bytes

// isCursorText reports that the text could be a cursor of some hub (docs/protocol.md#cursors).
func isCursorText(s string) bool {
	const maxLen = 64
	for i := range len(s) {
		switch c := s[i]; {
		case '0' <= c && c <= '9', 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z':
		case c == '.' || c == '_' || c == '~' || c == '-':
		default:
			return false
		}
	}
	return s != "" && len(s) <= maxLen
}
