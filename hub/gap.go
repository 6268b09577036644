package hub

// GapReason is the reason why events are missing (docs/protocol.md#gaps).
type GapReason string

// Reasons of a gap.
const (
	GapExpired GapReason = "expired" // retention removed the events
	GapEpoch   GapReason = "epoch"   // the cursor belongs to another epoch of the log
	GapFuture  GapReason = "future"  // the cursor is past the end of the log
)

func (r GapReason) index() int {
	switch r {
	case GapExpired:
		return 0
	case GapEpoch:
		return 1
	default:
		return 2
	}
}

// Gap reports that events that match the subscriber's filters were lost.
type Gap struct {
	Reason GapReason
	// After is the position before the gap, or the string that the subscriber sent as its cursor, if that is
	// not a position in this log. It is empty if the subscription starts at a time and has not read anything
	// yet, or if the string was too long or not valid UTF-8.
	After string
	// ResumedAt is the position after the gap, where reading continues.
	ResumedAt Cursor
	// Certain is set if a matching event was removed. Otherwise a matching event may have been removed.
	Certain bool
}

// findGap searches for matching events that were lost between the position and the in-memory log, and moves the
// position past them. One call does one piece of the search; done reports whether the search is complete.
func (s *Subscription) findGap(l *memlog, set FilterSet) (g *Gap, done bool) {
	switch {
	case s.state == foreign:
		g, s.foreign = &s.foreign.gap, nil
	case s.position >= l.lowWatermark:
		s.stopSearches()
		return nil, true
	case s.origin == byLast && s.state == unread:
		// The subscriber requested the newest retained events, so events that were removed since then are not a gap.
	default:
		lost, done := l.topics.searchLosses(s.currentLossSearch(set), l.visits)
		if !done {
			return nil, false
		}
		s.lossSearch = nil
		g = s.expiredGap(lost.kind)
	}
	return s.moveTo(l.lowWatermark, g), true
}

// currentLossSearch returns the subscription's search for lost events. It starts a new search if there is
// none or if the position has moved.
func (s *Subscription) currentLossSearch(set FilterSet) *lossSearch {
	fresh := s.newLossSearch(set)
	if s.lossSearch != nil && s.lossSearch.after == fresh.after {
		return s.lossSearch
	}
	s.stopSearches()
	s.lossSearch = fresh
	return fresh
}

// newLossSearch returns a search for lost events with a seq after the position. If the subscription starts at
// a time and has not read anything, the search is instead for lost events whose time is the start time or
// later.
func (s *Subscription) newLossSearch(set FilterSet) *lossSearch {
	if s.searchesByTime() {
		return newLossSearchSince(set, s.since, s.conflate)
	}
	return newLossSearchAfter(set, s.position, s.conflate)
}

// stopSearches cancels the searches that Read has not completed. Hub.mu must be held.
func (s *Subscription) stopSearches() {
	s.hub.memlog.topics.cancelSearch(s.lossSearch)
	s.lossSearch = nil
	if s.hub.replay != nil {
		s.hub.replay.cancelRangeSearch(s.rangeSearch)
	}
	s.rangeSearch = nil
}

// stopReads cancels all searches and reads that prepare the next Read. Hub.mu must be held.
func (s *Subscription) stopReads() {
	s.stopSearches()
	if s.hub.replay != nil {
		s.hub.replay.dropQuery(&s.subscriber)
	}
	if s.search != nil {
		s.hub.locator.abandon(&s.subscriber, s.search)
	}
}

// searchesByTime reports whether the search for losses begins at the start time rather than at the position.
func (s *Subscription) searchesByTime() bool { return s.state == unread && !s.since.IsZero() }

// expiredGap returns the gap after the position, or nil if no matching event can have been lost.
func (s *Subscription) expiredGap(lost lossKind) *Gap {
	if lost == noLoss {
		return nil
	}
	g := &Gap{Reason: GapExpired, Certain: lost == certainLoss}
	if s.state == reading || s.origin != byTime {
		g.After = s.Position().String()
	}
	return g
}

// moveTo moves the position to seq. If g is not nil, it sets g.ResumedAt, counts the gap and returns it.
func (s *Subscription) moveTo(seq uint64, g *Gap) *Gap {
	s.position = seq
	if g != nil {
		g.ResumedAt = s.Position()
		s.hub.stats.gaps[g.Reason.index()].Add(1)
	}
	return g
}
