package hub

// Retained returns the event with this sequence number, or nil if the in-memory log does not have it, be it
// removed or erased. A reader that is in the middle of a large event need not keep the event in memory. It may be called
// by any goroutine, also after Close.
func (s *Subscription) Retained(seq uint64) *Event {
	s.hub.mu.RLock()
	defer s.hub.mu.RUnlock()
	return s.hub.memlog.event(seq)
}
