package hub

// This file has the part of Subscription that reads through the replay reader. It is used only if the engine is a
// Log.

// locate starts the search for a start that only the durable log can determine. Until it is done,
// the position of a start with Last or Since is before every event that the subscription can
// receive. Hub.mu must be held.
func (s *Subscription) locate(question startQuestion) {
	if question.origin = s.origin; s.origin != byCursor {
		s.position = 0
	}
	s.search = s.hub.locator.find(&s.subscriber, question)
}

// finishLocating sets the position if the search for it is done, and reports whether it is. Hub.mu
// must be held.
func (s *Subscription) finishLocating() (done bool) {
	l, search := s.hub.memlog, s.search
	switch {
	case s.origin == byCursor && l.lastSeq >= s.position: // the event at the cursor has been delivered in the meantime
		s.hub.locator.abandon(&s.subscriber, search)
	case !search.done.Load():
		return false
	case s.origin == byCursor && search.seq < s.position:
		s.foreign = s.newForeignStart(GapFuture, s.Position().String())
	case s.origin != byCursor:
		s.position = search.seq
	}
	if s.search = nil; search.scan != nil && search.scan.set.Equal(s.set()) && s.position < l.lowWatermark {
		s.found = search.scan.foundSeqs // cannot be used with other filters, which may match events between the found ones
	}
	return true
}

// readReplay reads events that are older than the in-memory log. Hub.mu must be held.
func (s *Subscription) readReplay(limit ReadLimit) (b ReadResult) {
	l, set := s.hub.memlog, s.set()
	if s.skipToFound(); s.foreign == nil && s.position >= l.lowWatermark {
		return ReadResult{More: true}
	}
	from := s.position
	if s.foreign != nil {
		from = 0
	}
	c, ok := s.hub.replay.chunkAfter(&s.subscriber, chunkQuery{
		seq: from, seqs: s.hub.replay.sparseSeqs(s.found, from), until: l.lowWatermark,
		set: set, filtered: s.usesFilteredChunks(from, l.lowWatermark),
	})
	if !ok {
		return ReadResult{Waiting: true}
	}
	b.More = true
	if s.foreign != nil {
		b.Gap = s.resumeForeign(&c)
	}
	size := 0
	var scratch topicTokens
	for _, e := range c.elements {
		switch {
		case e.ID.Seq <= s.position:
			continue
		case e.Erases != 0:
			s.position = e.ID.Seq
		case e.Topic == "" && (b.Gap != nil || len(b.Events) > 0 || s.position >= l.lowWatermark):
			return b // a gap comes before the events of a result, and a result has at most one gap; from the low watermark on, events are read from the in-memory log
		case e.Topic == "":
			before := s.position
			var done bool
			if b.Gap, done = s.passDeletedRange(e.ID.Seq); !done {
				return b
			}
			b.FellBehind = b.Gap != nil && s.started && !s.group.hadReadAll(before, l)
			if s.origin == byLast && !s.started && s.found != nil {
				return b // reading has not started: the next event that the scan found may be removed too
			}
			if s.position < e.ID.Seq {
				s.started = true
				return b // the next events are in the in-memory log
			}
		case !set.match(&scratch, e.Topic):
			s.position = e.ID.Seq
		case s.conflate && s.isSuperseded(l, e):
			s.position = e.ID.Seq
			s.density.matched++
		case limit.Events == 0, size > 0 && size+int(e.size()) > limit.Bytes:
			return b
		default:
			s.position = e.ID.Seq
			s.density.matched++
			limit.Events--
			if b.Events = append(b.Events, e); len(s.dropEarly(b.Events[len(b.Events)-1:])) == 0 {
				b.Events = b.Events[:len(b.Events)-1]
				continue
			}
			size += int(e.size())
		}
		s.started = true
	}
	s.started = true
	s.density.add(s.position, &s.hub.replay.matchRule)
	return b
}

// skipToFound moves the position forward to directly before the next event that the backward scan has found. The
// events in between do not match.
func (s *Subscription) skipToFound() {
	for len(s.found) > 0 && s.found[0] <= s.position {
		s.found = s.found[1:]
	}
	if len(s.found) > 0 {
		s.position = s.found[0] - 1
	}
	if len(s.found) <= 1 {
		s.found = nil
	}
}

// passDeletedRange moves the position past a deleted range that ends at seq, and returns the gap, or nil if no
// matching event was lost. It does not move past the low watermark, because the in-memory log may have events that
// the durable log removed. It does one piece of the search for losses, and done reports whether the search is
// complete.
func (s *Subscription) passDeletedRange(seq uint64) (g *Gap, done bool) {
	if s.rangeSearch != nil && s.rangeSearch.from != s.position {
		s.stopSearches()
	}
	if s.rangeSearch == nil {
		s.rangeSearch = &rangeSearch{
			from: s.position, to: min(seq, s.hub.memlog.lowWatermark), searchedTo: s.position,
			losses: s.newLossSearch(s.set()),
		}
	}
	end, lost, done := s.hub.replay.searchDeletedRange(s.rangeSearch, s.hub.memlog.visits)
	if !done {
		return nil, false
	}
	s.rangeSearch = nil
	if s.origin == byLast && !s.started {
		return s.moveTo(end, nil), true // the subscriber asked for the newest retained events, so removed ones are no gap
	}
	return s.moveTo(end, s.expiredGap(lost.kind)), true
}

// resumeForeign returns the gap for a start cursor that is not in this log. Reading continues with the oldest event
// of the log.
func (s *Subscription) resumeForeign(first *chunk) *Gap {
	g := &s.foreign.gap
	s.foreign = nil
	start := uint64(0)
	if e := first.elements[0]; e.Topic == "" && e.Erases == 0 {
		start = min(e.ID.Seq, s.hub.memlog.lowWatermark) // the in-memory log may have events that the durable log has deleted
	}
	return s.moveTo(start, g)
}

// isSuperseded reports whether the chunk or the in-memory log has a newer event with the same topic and key.
func (s *Subscription) isSuperseded(l *memlog, e *Event) bool {
	if e.superseded || e.Key == "" {
		return e.superseded
	}
	newest := l.latest[conflationKey{e.Topic, e.Key}]
	return newest != nil && newest.ID.Seq > e.ID.Seq
}

// usesFilteredChunks reports whether the subscription should use filtered chunks to read the log from one position
// to another.
func (s *Subscription) usesFilteredChunks(from, to uint64) bool {
	rule := &s.hub.replay.matchRule
	return s.foreign == nil && s.found == nil && s.group != nil && s.density.sparse >= rule.chunks && to >= from+rule.distance
}
