package hub

// GapReason says why events are missing (docs/protocol.md#gaps).
type GapReason string

// The reasons of a gap.
const (
	GapExpired GapReason = "expired" // retention had let them go
	GapEpoch   GapReason = "epoch"   // the cursor is of another life of the log
	GapFuture  GapReason = "future"  // the cursor is past the end of the log
)

// Gap tells a subscriber that events of its filters are lost to it.
type Gap struct {
	Reason GapReason
	// After is the subscriber's cursor, as text since it may be of another hub, or of none. It is
	// empty where there was none, a start by time, and where it was no text or a long one.
	After string
	// ResumedAt is where reading goes on: resuming after it yields what follows the gap.
	ResumedAt Cursor
	// Certain means that something that matches was removed; otherwise it may have been.
	Certain bool
}

// gap finds what is lost between the position and the window, and moves the position past it. It does a
// piece of that, and reports whether that was the last.
func (s *Subscription) gap(w *window, set FilterSet) (g *Gap, done bool) {
	switch {
	case s.lost != nil:
		g, s.lost = &s.lost.gap, nil
	case s.position >= w.floor:
		s.stopSearches()
		return nil, true
	case s.origin == byLast && !s.begun:
		// "The newest retained" is true of whatever is left of them by now.
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

// lossSearch returns the search for what the window has lost after the position, a new one if it is the
// first piece or the position has moved.
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

// stopSearches ends what Read has not found out. Called with Hub.mu held.
func (s *Subscription) stopSearches() {
	s.hub.window.topics.cancel(s.losses)
	s.losses = nil
	if s.hub.archive != nil {
		s.hub.archive.cancel(s.hole)
	}
	s.hole = nil
}

// byTimeYet reports that it is the time, not the position, that says what is lost.
func (s *Subscription) byTimeYet() bool { return !s.begun && !s.since.IsZero() }

// expired is the gap after the position if something was lost there, or may have been.
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

// goPast moves the position to seq, before which g, if any, is what was lost.
func (s *Subscription) goPast(seq uint64, g *Gap) *Gap {
	s.position = seq
	if g != nil {
		g.ResumedAt = s.Position()
		s.hub.stats.gaps[g.Reason.index()].Add(1)
	}
	return g
}
