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
	// Foreign: the text of a position that is no cursor of any hub; it is answered as a cursor
	// of another epoch.
	Foreign string
	// Last: with the newest Last retained events of the filters, at most MaxLast.
	Last int
	// Since: with the first event accepted no earlier, be that a time to come.
	Since time.Time
}

// MaxLast bounds Start.Last.
const MaxLast = 1000

// lost is a start that was not of this log.
type lost struct {
	gap   Gap
	begin string // what was asked for, as text
}

// origin is how the position was given.
type origin uint8

const (
	byCursor origin = iota // or the newest event
	byLast
	byTime
)

// located is where a request begins, as far as the window can tell.
type located struct {
	last     *lastSearch
	position uint64 // of a start by time
}

// Locate returns the request with its beginning found, which may take long where the request begins with the
// newest events of its filters, or at a time. Subscribe and Restart do so themselves. A caller of Restart that
// holds a lock which its Sink needs locates the request before.
func (h *Hub) Locate(r Request) Request {
	start := &r.Start
	switch {
	case r.located != nil || start.Cursor != nil || start.Foreign != "":
	case start.Last > 0:
		r.located = &located{last: h.findLast(r.Filters, start.Last)}
	case !start.Since.IsZero():
		r.located = &located{position: h.findSince(r.Filters, start.Since, r.Conflate)}
	}
	return r
}

func (h *Hub) findLast(set FilterSet, wanted int) (s *lastSearch) {
	h.inPieces(func() (done bool) {
		if s == nil {
			s = h.window.newLastSearch(set, wanted)
		}
		return h.window.searchLast(s)
	})
	return s
}

func (h *Hub) findSince(set FilterSet, t time.Time, conflate bool) (position uint64) {
	s := newSince(set, t, conflate)
	h.inPieces(func() (done bool) {
		lost, done := h.window.topics.searchLosses(s, h.window.looks)
		if done {
			position = h.window.since(t, lost)
		}
		return done
	})
	return position
}

// start puts the subscription where the request, which has been located, says. Called with Hub.mu held.
func (s *Subscription) start(r Request) {
	w, epoch := s.hub.window, s.hub.epoch
	s.held = r.Filters.Len() == 0 && (r.Start.Cursor != nil || r.Start.Foreign != "")
	s.position, s.lost, s.begun, s.origin, s.since = w.head, nil, false, byCursor, r.Start.Since
	s.unsure, s.seeking, s.trace = false, false, nil
	if s.hub.archive != nil {
		s.hub.archive.forget(s)
	}
	s.stopSearches()
	switch start := r.Start; {
	case start.Cursor != nil && start.Cursor.Epoch != epoch:
		s.lost = s.lostAt(GapEpoch, start.Cursor.String())
	case start.Cursor != nil && start.Cursor.Seq > w.head && s.hub.archive != nil:
		s.position, s.unsure = start.Cursor.Seq, true
	case start.Cursor != nil && start.Cursor.Seq > w.head:
		s.lost = s.lostAt(GapFuture, start.Cursor.String())
	case start.Cursor != nil:
		s.position = start.Cursor.Seq
	case start.Foreign != "":
		s.lost = s.lostAt(GapEpoch, start.Foreign)
	case start.Last > 0:
		last := r.located.last
		s.position, s.origin = last.position, byLast
		if s.hub.archive != nil && last.found < start.Last && last.floor > 0 && r.Filters.Len() > 0 {
			s.position, s.trace = 0, newTrace(r.Filters, last.floor, last.position, last.found, start.Last)
		}
	case !start.Since.IsZero():
		s.position, s.origin = r.located.position, byTime
		if s.hub.archive != nil && w.isBefore(start.Since) {
			s.position, s.seeking = 0, true
		}
	}
}

// lostAt is the start after a cursor that is not of this log.
func (s *Subscription) lostAt(reason GapReason, after string) *lost {
	l := &lost{gap: Gap{Reason: reason, After: after}, begin: after}
	if !isCursorText(after) {
		l.begin = Cursor{Epoch: ^s.hub.epoch}.String() // as foreign as what was given, and safe in a stream
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
