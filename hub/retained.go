package hub

// Retained returns the event with this sequence number, or nil if retention or an erasure has removed it from the
// in-memory log. A caller that sends a large event in parts can call it for each part instead of keeping the event
// in memory. It is safe for concurrent use, also after Close.
func (s *Subscription) Retained(seq uint64) *Event {
	s.hub.mu.RLock()
	defer s.hub.mu.RUnlock()
	return s.hub.memlog.event(seq)
}
