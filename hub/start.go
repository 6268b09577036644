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

// start puts the subscription where the request says. Called with Hub.mu held.
func (s *Subscription) start(r Request) {
	w, epoch := s.hub.window, s.hub.epoch
	s.held = r.Filters.Len() == 0 && (r.Start.Cursor != nil || r.Start.Foreign != "")
	s.position, s.lost, s.begun, s.origin, s.since = w.head, nil, false, byCursor, r.Start.Since
	s.unsure, s.seeking, s.trace = false, false, nil
	if s.hub.archive != nil {
		s.hub.archive.forget(s)
	}
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
		position, found := w.beforeLast(r.Filters, start.Last)
		s.position, s.origin = position, byLast
		if s.hub.archive != nil && found < start.Last && w.floor > 0 && r.Filters.Len() > 0 {
			s.position, s.trace = 0, newTrace(r.Filters, w.floor, position, found, start.Last)
		}
	case !start.Since.IsZero():
		s.position, s.origin = w.since(r.Filters, start.Since, s.conflate), byTime
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

// isCursorText reports that the text could be a cursor of some hub (PROTOCOL section 1).
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
