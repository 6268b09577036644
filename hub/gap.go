package hub

// GapReason is the reason why events are missing (docs/protocol.md#gaps).
type GapReason string

// The reasons of a gap.
const (
	GapExpired GapReason = "expired" // retention removed the events
	GapEpoch   GapReason = "epoch"   // the cursor belongs to another epoch of the log
	GapFuture  GapReason = "future"  // the cursor is past the end of the log
)

// Gap reports that events which match the subscriber's filters are lost.
type Gap struct {
	Reason GapReason
	// After is the subscriber's cursor. It is text, because it may not be a cursor of this hub. It is empty
	// for a start by time, and if the given cursor was too long or not valid text.
	After string
	// ResumedAt is the position after the gap, where reading continues.
	ResumedAt Cursor
	// Certain is set if a matching event was removed. Otherwise a matching event may have been removed.
	Certain bool
}

// gap searches for matching events that were lost between the position and the in-memory log, and moves the
// position past them. It does one piece of the search, and done reports whether the search is complete.
func (s *Subscription) gap(w *window, set FilterSet) (g *Gap, done bool) {
	switch {
	case s.lost != nil:
		g, s.lost = &s.lost.gap, nil
	case s.position >= w.floor:
		s.stopSearches()
		return nil, true
	case s.origin == byLast && !s.begun:
		// The subscriber asked for the newest retained events, so events that were removed since are no gap.
	default:
		lost, done := w.topics.searchLosses(s.lossSearch(set), w.looks)
		if !done {
			return nil, false
		}
		s.losses = nil
		g = s.expired(lost.certain, lost.possible)
	}
	return s.goPast(w.floor, g), true
}

// lossSearch returns the search for events that the in-memory log lost after the position. It starts a new
// search if there is none or the position has moved.
func (s *Subscription) lossSearch(set FilterSet) *lossSearch {
	after := s.position
	if s.byTimeYet() {
		after = 0
	}
	if s.losses != nil && s.losses.after != after {
		s.stopSearches()
	}
	switch {
	case s.losses != nil:
	case s.byTimeYet():
		s.losses = newSince(set, s.since, s.conflate)
	default:
		s.losses = newAfter(set, after, s.conflate)
	}
	return s.losses
}

// stopSearches cancels the searches that Read has not completed. Hub.mu must be held.
func (s *Subscription) stopSearches() {
	s.hub.window.topics.cancel(s.losses)
	s.losses = nil
	if s.hub.archive != nil {
		s.hub.archive.cancel(s.hole)
	}
	s.hole = nil
}

// byTimeYet reports whether losses are searched from the start time instead of the position.
func (s *Subscription) byTimeYet() bool { return !s.begun && !s.since.IsZero() }

// expired returns the gap after the position, or nil if no matching event can have been lost.
func (s *Subscription) expired(certain, possible bool) *Gap {
	if !possible {
		return nil
	}
	g := &Gap{Reason: GapExpired, Certain: certain}
	if s.begun || s.origin != byTime {
		g.After = s.Position().String()
	}
	return g
}

// goPast moves the position to seq. It completes and counts the gap g before seq, unless g is nil.
func (s *Subscription) goPast(seq uint64, g *Gap) *Gap {
	s.position = seq
	if g != nil {
		g.ResumedAt = s.Position()
		s.hub.stats.gaps[g.Reason.index()].Add(1)
	}
	return g
}
