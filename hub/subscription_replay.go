package hub

// This file contains the part of Subscription that reads through the replay reader. It is used only
// if the engine is a Log.

// locate starts a search for a start position that only the durable log can determine. Until the search
// is done, a subscription that starts with Last or Since has a position before every event that the
// subscription can receive. Hub.mu must be held.
func (s *Subscription) locate(question startQuestion) {
	if question.origin = s.origin; s.origin != byCursor {
		s.position = 0
	}
	s.state, s.search = locating, s.hub.locator.find(&s.subscriber, question)
}

// finishLocating sets the position if the search for it is done, and reports whether the search is
// done. Hub.mu must be held.
func (s *Subscription) finishLocating() (done bool) {
	l, search := s.hub.memlog, s.search
	if s.origin == byCursor && l.lastSeq >= s.position { // the event at the cursor was delivered while the locator searched
		s.hub.locator.abandon(&s.subscriber, search)
		s.state, s.search = unread, nil
		return true
	}
	if !search.done.Load() {
		return false
	}
	s.state, s.search = unread, nil
	switch {
	case s.origin != byCursor:
		s.position = search.seq
	case search.seq < s.position:
		s.startForeign(GapFuture, s.Position().String())
	}
	if search.scan != nil && search.scan.set.Equal(s.set()) && s.position < l.lowWatermark {
		s.found = search.scan.foundSeqs // invalid for other filters, which may match events between the found ones
	}
	return true
}

// readReplay reads events that are older than the in-memory log. Hub.mu must be held.
func (s *Subscription) readReplay(limit ReadLimit) (b ReadResult) {
	l, set := s.hub.memlog, s.set()
	if s.skipToFound(); s.state != foreign && s.position >= l.lowWatermark {
		return ReadResult{More: true}
	}
	from := s.position
	if s.state == foreign {
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
	if s.state == foreign {
		b.Gap = s.resumeForeign(&c)
	}
	s.readChunk(&b, c.elements, set, limit)
	return b
}

// readChunk adds to b the elements that the subscription receives, within the limit, and moves the position past them.
// Hub.mu must be held.
func (s *Subscription) readChunk(b *ReadResult, elements []*Event, set FilterSet, limit ReadLimit) {
	size := 0
	var scratch topicTokens
	for i, e := range elements {
		switch {
		case e.ID.Seq <= s.position:
			continue
		case e.isDeletedRange():
			if !s.readDeletedRange(b, e.ID.Seq) {
				return
			}
			continue
		case e.Erases != 0, !set.match(&scratch, e.Topic):
		case s.conflate && s.isSuperseded(s.hub.memlog, e):
			s.density.matched++
		case limit.Events == 0, size > 0 && size+int(e.size()) > limit.Bytes:
			return
		default:
			s.density.matched++
			limit.Events--
			if len(s.dropEarly(elements[i:i+1])) == 0 {
				s.position = e.ID.Seq
				continue
			}
			b.Events = append(b.Events, e)
			size += int(e.size())
		}
		s.position, s.state = e.ID.Seq, reading
	}
	s.state = reading
	s.density.add(s.position, &s.hub.replay.matchRule)
}

// readDeletedRange moves the position past a deleted range that ends at seq, and adds the gap, if any, to b. It reports
// whether reading can continue with the next element.
func (s *Subscription) readDeletedRange(b *ReadResult, seq uint64) (more bool) {
	l, before := s.hub.memlog, s.position
	if b.Gap != nil || len(b.Events) > 0 || before >= l.lowWatermark {
		return false // a result can only contain one gap, before its events; events after the low watermark are read from the in-memory log
	}
	gap, done := s.passDeletedRange(seq)
	if !done {
		return false
	}
	b.Gap, b.FellBehind = gap, gap != nil && s.state == reading && !s.group.hadReadAll(before, l)
	if s.origin == byLast && s.state == unread && s.found != nil {
		return false // nothing was read: the next event that the scan found may be removed too
	}
	s.state = reading
	return s.position >= seq // otherwise the next events are in the in-memory log
}

// skipToFound moves the position to just before the next event that the backward scan has found. The
// skipped events do not match.
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

// passDeletedRange moves the position past a deleted range that ends at seq, and returns the gap, or nil if no matching
// event was lost. It does not move past the low watermark, because the in-memory log may have events that the durable
// log removed. One call does one piece of the search for losses; done reports whether the search is complete.
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
	if s.origin == byLast && s.state == unread {
		return s.moveTo(end, nil), true // the subscriber requested the newest retained events, so removed events are not a gap
	}
	return s.moveTo(end, s.expiredGap(lost.kind)), true
}

// resumeForeign returns the gap for a start cursor that is not in this log. Reading continues with the oldest event
// of the log.
func (s *Subscription) resumeForeign(first *chunk) *Gap {
	g := &s.foreign.gap
	s.state, s.foreign = unread, nil
	start := uint64(0)
	if e := first.elements[0]; e.isDeletedRange() {
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

// usesFilteredChunks reports whether the subscription should use filtered chunks to read the log between two positions.
func (s *Subscription) usesFilteredChunks(from, to uint64) bool {
	rule := &s.hub.replay.matchRule
	return s.state != foreign && s.found == nil && s.group != nil && s.density.sparse >= rule.chunks && to >= from+rule.distance
}
