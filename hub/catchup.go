package hub

// What a subscription reads by way of the archive, which is there with a Log only.

// located finds out where the subscription begins if its start did not say so; false means that
// this is being asked for. Called with Hub.mu held.
func (s *Subscription) located() bool {
	a, w := s.hub.archive, s.hub.window
	switch {
	case s.unsure && w.head >= s.position:
		a.forget(s)
		s.unsure = false
	case s.unsure:
		tip, ok := a.number(s, inquiry{kind: askTip, seq: s.position})
		if !ok {
			return false
		}
		s.unsure = false
		if tip < s.position {
			s.lost = s.lostAt(GapFuture, s.Position().String())
		}
	case s.seeking:
		position, ok := a.number(s, inquiry{kind: askTime, since: s.since})
		if !ok {
			return false
		}
		s.position, s.seeking = position, false
	case s.trace.pending():
		position, ok := s.trace.back(s)
		if !ok {
			return false
		}
		s.position, s.trace.over = position, true
		if !s.trace.set.Equal(s.set()) || position >= w.floor {
			s.trace = nil // other filters may have something between
		}
	}
	return true
}

// readArchive reads on behind the window. Called with Hub.mu held.
func (s *Subscription) readArchive(limit ReadLimit) (b Batch) {
	w, set := s.hub.window, s.set()
	if s.leap(); s.lost == nil && s.position >= w.floor {
		return Batch{More: true}
	}
	from := s.position
	if s.lost != nil {
		from = 0
	}
	c, ok := s.hub.archive.after(s, from, s.trace.apart(s.hub.archive, from), w.floor)
	if !ok {
		return Batch{Waiting: true}
	}
	b.More = true
	if s.lost != nil {
		b.Gap = s.resume(&c)
	}
	size := 0
	var scratch topicTokens
	for _, e := range c.elements {
		switch {
		case e.ID.Seq <= s.position:
			continue
		case e.Erases != 0:
			s.position = e.ID.Seq
		case e.Topic == "" && (b.Gap != nil || len(b.Events) > 0 || s.position >= w.floor):
			return b // one gap at a time, and before the events; and none where the window goes on
		case e.Topic == "":
			before := s.position
			var done bool
			if b.Gap, done = s.goOver(e.ID.Seq); !done {
				return b
			}
			b.Overtaken = b.Gap != nil && s.begun && !s.feed.hadRead(before, w)
			if s.origin == byLast && !s.begun && s.trace != nil {
				return b // it has not begun: the next that was found may have gone too
			}
			if s.position < e.ID.Seq {
				s.begun = true
				return b // what follows is read of the window
			}
		case !set.match(&scratch, e.Topic), s.conflate && s.isSuperseded(w, e):
			s.position = e.ID.Seq
		case limit.Events == 0, size > 0 && size+int(e.size()) > limit.Bytes:
			return b
		default:
			s.position = e.ID.Seq
			limit.Events--
			if b.Events = append(b.Events, e); len(s.due(b.Events[len(b.Events)-1:])) == 0 {
				b.Events = b.Events[:len(b.Events)-1]
				continue
			}
			size += int(e.size())
		}
		s.begun = true
	}
	s.begun = true
	return b
}

// leap goes over what a trace has looked at and found to be of no interest.
func (s *Subscription) leap() {
	t := s.trace
	if t == nil {
		return
	}
	for len(t.stops) > 0 && t.stops[0] <= s.position {
		t.stops = t.stops[1:]
	}
	if len(t.stops) > 0 {
		s.position = t.stops[0] - 1
	}
	if len(t.stops) <= 1 {
		s.trace = nil
	}
}

// goOver gives the gap of a hole in the log that ends at seq, where there is one. It goes no further than
// to what the window has, which the log may have lost before it. It does a piece of that, and reports
// whether that was the last.
func (s *Subscription) goOver(seq uint64) (g *Gap, done bool) {
	if s.hole != nil && s.hole.from != s.position {
		s.stopSearches()
	}
	if s.hole == nil {
		s.hole = &holeSearch{
			from: s.position, to: min(seq, s.hub.window.floor), at: s.position,
			losses: newAfter(s.set(), s.position, s.conflate),
		}
		if s.byTimeYet() {
			s.hole.losses = newSince(s.set(), s.since, s.conflate)
		}
	}
	end, lost, done := s.hub.archive.searchHole(s.hole, s.hub.window.looks)
	if !done {
		return nil, false
	}
	s.hole = nil
	if s.origin == byLast && !s.begun {
		return s.goPast(end, nil), true // "the newest retained" is true of whatever is left of them by now
	}
	return s.goPast(end, s.expired(lost.certain, lost.possible)), true
}

// resume gives the gap of a start that was not of this log: all that is left of the log follows.
func (s *Subscription) resume(first *chunk) *Gap {
	g := &s.lost.gap
	s.lost = nil
	start := uint64(0)
	if e := first.elements[0]; e.Topic == "" && e.Erases == 0 {
		start = min(e.ID.Seq, s.hub.window.floor) // what the window has is there
	}
	return s.goPast(start, g)
}

// isSuperseded reports that a newer event of the topic and key is known.
func (s *Subscription) isSuperseded(w *window, e *Event) bool {
	if e.superseded || e.Key == "" {
		return e.superseded
	}
	newest := w.latest[subject{e.Topic, e.Key}]
	return newest != nil && newest.ID.Seq > e.ID.Seq
}
