package hub

// Retained returns the event with this sequence number, or nil if the window does not have it. A
// reader that is in the middle of a large event need not keep the event in memory. It may be called
// by any goroutine, also after Close.
func (s *Subscription) Retained(seq uint64) *Event {
	s.hub.mu.RLock()
	defer s.hub.mu.RUnlock()
	w := s.hub.window
	if seq == 0 {
		return nil
	}
	if i := firstAfter(&w.events, seq-1); i < w.events.len() && w.events.at(i).ID.Seq == seq {
		return w.events.at(i)
	}
	return nil
}
