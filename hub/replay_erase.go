package hub

import "slices"

// logRead is a read of the log that has not returned yet.
type logRead struct {
	erased []uint64 // seqs of events that were erased since the read began; its result may contain them
}

// read calls fetch to read the log, and then calls take with the elements while mu is held.
func (rr *replayReader) read(fetch func() ([]*Event, error), take func(elements []*Event)) error {
	r := new(logRead)
	rr.mu.Lock()
	rr.reads[r] = struct{}{}
	rr.mu.Unlock()
	elements, err := fetch()
	rr.mu.Lock()
	defer rr.mu.Unlock()
	delete(rr.reads, r)
	if err != nil {
		return err
	}
	for _, seq := range r.erased {
		eraseElement(elements, seq)
	}
	take(elements)
	return nil
}

// erase removes an event from all cached chunks and running reads. Hub.mu must be held, so that no subscription
// reads a chunk.
func (rr *replayReader) erase(seq uint64) {
	rr.mu.Lock()
	defer rr.mu.Unlock()
	for r := range rr.reads {
		r.erased = append(r.erased, seq)
	}
	for i := range rr.chunks {
		eraseElement(rr.chunks[i].elements, seq)
	}
	rr.losses.erase(seq)
}

// eraseElement replaces the event with the given seq by an erased element, if elements contains the
// event.
func eraseElement(elements []*Event, seq uint64) {
	i, found := slices.BinarySearchFunc(elements, seq, func(e *Event, seq uint64) int { return int(min(max(int64(e.ID.Seq-seq), -1), 1)) })
	if found && elements[i].Topic != "" {
		elements[i] = erasedElement(elements[i].ID)
	}
}
