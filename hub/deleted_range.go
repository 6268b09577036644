package hub

// rangeSearch searches the deleted range (from, to] of the log for events that its lossSearch counts as lost. It
// works in pieces.
type rangeSearch struct {
	from, to uint64
	losses   *lossSearch

	// used if the log has events before the range

	searchedTo uint64 // pending elements up to this seq have been searched
	unknown    bool   // the pending elements searched so far include a deleted range, whose topics are not known
}

// searchDeletedRange does one piece of a search, and done reports whether the search is complete. end is the end of
// the range. It is after s.to if the log has removed more events meanwhile.
func (rr *replayReader) searchDeletedRange(s *rangeSearch, visits int) (end uint64, v lossResult, done bool) {
	rr.mu.Lock()
	defer rr.mu.Unlock()
	l := &rr.losses
	if s.from > l.removed {
		v, done = l.searchPending(s, visits)
		return s.to, v, done
	}
	if !l.remove(s.to) {
		return 0, lossResult{}, false
	}
	v, done = l.tree.searchLosses(s.losses, visits)
	if v.kind == certainLoss && s.losses.conflate && l.fromLog {
		v.kind = possibleLoss // the event may have been superseded
	}
	return l.removed, v, done
}

// searchPending searches a range before which the log has events.
func (l *lossIndex) searchPending(s *rangeSearch, visits int) (v lossResult, done bool) {
	switch {
	case s.losses.set.Len() == 0:
		return lossResult{}, true
	case s.to > l.known:
		return lossResult{kind: possibleLoss}, true
	}
	var scratch topicTokens
	for i := l.pending.search(func(e logElement) bool { return e.seq > s.searchedTo }); i < l.pending.len() && l.pending.at(i).seq <= s.to; i++ {
		if visits--; visits < 0 {
			return lossResult{}, false
		}
		e := l.pending.at(i)
		if s.searchedTo = e.seq; e.erased {
			continue
		}
		if e.topic == "" {
			s.unknown = true
		} else if s.losses.set.match(&scratch, e.topic) {
			return lossResult{kind: certainLoss}, true
		}
	}
	if s.unknown {
		return lossResult{kind: possibleLoss}, true
	}
	return lossResult{}, true
}

// cancelRangeSearch cancels a search. s may be nil.
func (rr *replayReader) cancelRangeSearch(s *rangeSearch) {
	if s != nil {
		rr.mu.Lock()
		defer rr.mu.Unlock()
		rr.losses.tree.cancelSearch(s.losses)
	}
}
