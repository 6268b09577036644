package hub

// holeSearch finds out whether events in a hole of the log, from after seq from to seq to, were lost that
// its search for losses accepts. It goes on piece after piece.
type holeSearch struct {
	from, to uint64
	losses   *lossSearch

	// of a hole that has events before it

	at       uint64 // all up to here has been looked at
	possible bool
}

// searchHole does one piece of a search and reports whether it is the last. Where the log has lost more
// meanwhile the hole goes further, to seq end.
func (a *archive) searchHole(s *holeSearch, looks int) (end uint64, v verdict, done bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	t := &a.tail
	if s.from > t.removed {
		v, done = t.within(s, looks)
		return s.to, v, done
	}
	if !t.remove(s.to) {
		return 0, verdict{}, false
	}
	v, done = t.lost.searchLosses(s.losses, looks)
	v.certain = v.certain && !(s.losses.conflate && t.read)
	return t.removed, v, done
}

// within judges a hole that has events before it.
func (t *tail) within(s *holeSearch, looks int) (v verdict, done bool) {
	if set := s.losses.set; set.Len() == 0 || s.to > t.known {
		return verdict{possible: set.Len() > 0}, true
	}
	var scratch topicTokens
	for i := t.next.search(func(e tailed) bool { return e.seq > s.at }); i < t.next.len() && t.next.at(i).seq <= s.to; i++ {
		if looks--; looks < 0 {
			return verdict{}, false
		}
		e := t.next.at(i)
		if s.at = e.seq; e.erased {
			continue
		}
		if e.topic == "" {
			s.possible = true
		} else if s.losses.set.match(&scratch, e.topic) {
			return verdict{certain: true, possible: true}, true
		}
	}
	return verdict{possible: s.possible}, true
}

// cancel ends a search, which may be nil.
func (a *archive) cancel(s *holeSearch) {
	if s != nil {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.tail.lost.cancel(s.losses)
	}
}
