package hub

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// eraseTimeout limits how long Erase waits until this hub has removed the event from memory.
const eraseTimeout = 5 * time.Second

// Erase removes an event for good from memory and from the engine's storage, on all hubs that share the log.
// Subscribers that resume before the event get no gap, and its ID remains a valid cursor. A subscriber to which the
// event is being sent may still receive it.
//
// The error is ErrNoEvent, ErrClosed, or one that wraps ErrUnavailable; in the last case, the event may be erased
// or not.
func (h *Hub) Erase(ctx context.Context, id Cursor) error {
	eraser, ok := h.engine.(Eraser)
	if !ok || id.Epoch != h.epoch || id.Seq == 0 {
		return ErrNoEvent
	}
	h.erasing.Lock()
	defer h.erasing.Unlock()
	if h.replay == nil && !h.retains(id.Seq) {
		return ErrNoEvent
	}
	at, err := eraser.Erase(ctx, id.Seq)
	if err != nil {
		return err
	}
	h.stats.erased.Add(1)
	ctx, cancel := context.WithTimeout(ctx, eraseTimeout)
	defer cancel()
	h.waitDelivered(ctx, at) // if the hub lags behind its log, it removes the event from memory later
	return nil
}

// retains reports whether the in-memory log has the event.
func (h *Hub) retains(seq uint64) bool {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.memlog.event(seq) != nil
}

// applyErasure removes the event that an element with Erases set names. It is called by deliver with mu held.
func (h *Hub) applyErasure(element *Event) {
	h.memlog.lastSeq = max(h.memlog.lastSeq, element.ID.Seq)
	if e := h.memlog.erase(element.Erases); e != nil {
		var t topicTokens
		t.split(e.Topic)
		var state gatherState
		for done := false; !done; {
			d := &h.delivery
			d.candidates, done = h.index.gather(d.candidates[:0], &t, &state, h.steps)
			for _, g := range d.candidates {
				g.erase(e)
			}
			h.countSteps(len(d.candidates))
			clear(d.candidates)
		}
	}
	if h.replay != nil {
		h.replay.erase(element.Erases)
	}
}

// erasedElement returns the element that replaces an erased event in a log.
func erasedElement(id Cursor) *Event { return &Event{ID: id, Erases: id.Seq} }

// event returns the retained event with this seq, or nil.
func (l *memlog) event(seq uint64) *Event {
	if i := l.find(seq); i >= 0 {
		return l.events.at(i)
	}
	return nil
}

// find returns the index of the retained event with this seq, or -1 if there is none or it was erased.
func (l *memlog) find(seq uint64) int {
	if seq == 0 {
		return -1
	}
	i := firstAfter(&l.events, seq-1)
	if i == l.events.len() || l.events.at(i).ID.Seq != seq || l.events.at(i).Erases != 0 {
		return -1
	}
	return i
}

// erase replaces a retained event by a placeholder and returns the event, or nil if there is none. The placeholder
// has no data. It has the event's topic, because it also replaces the event in the log of the topic. When retention
// removes the placeholder, that counts as no loss. An older event with the same conflation key stays superseded.
func (l *memlog) erase(seq uint64) *Event {
	i := l.find(seq)
	if i < 0 {
		return nil
	}
	e := l.events.at(i)
	placeholder := erasedElement(e.ID)
	placeholder.Topic, placeholder.Time = e.Topic, e.Time
	placeholder.maxTime, placeholder.ageTime = e.maxTime, e.ageTime
	l.events.set(i, placeholder)
	own := l.topics.byName[e.Topic].log
	own.set(firstAfter(own, seq-1), placeholder)
	if key := (conflationKey{e.Topic, e.Key}); l.latest[key] == e {
		delete(l.latest, key)
	}
	l.bytes += placeholder.size() - e.size()
	l.placeholders++
	l.cache.erase(e, placeholder)
	return e
}

// popErased removes the oldest event of the topic, which is a placeholder.
func (t *topicTree) popErased(topic string) {
	n := t.byName[topic]
	n.log.pop()
	if n.log.len() > 0 {
		return
	}
	t.retire(n)
	if n.lost.none() {
		delete(t.byName, topic)
		n.topic = ""
		t.pruneNodes(n)
	}
}

// erase removes the encodings of an event and marks the event, so that later encodings are not cached. The
// placeholder replaces the event in the lists, so that they do not keep its data in memory.
func (c *encodingCache) erase(e, placeholder *Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e.uncacheable = true
	c.bytes.Add(-e.dropEncodings())
	if !e.cached {
		return
	}
	placeholder.cached = true
	if i := c.ascending.search(func(other *Event) bool { return other.ID.Seq >= e.ID.Seq }); i < c.ascending.len() && c.ascending.at(i) == e {
		c.ascending.set(i, placeholder)
	} else if i := slices.Index(c.late, e); i >= 0 {
		c.late[i] = placeholder
	}
}

// erase removes an event from the pending events.
func (g *group) erase(e *Event) {
	i, found := slices.BinarySearchFunc(g.pending, e.ID.Seq, func(p *Event, seq uint64) int { return cmp.Compare(p.ID.Seq, seq) })
	if found {
		g.pending = slices.Delete(g.pending, i, i+1)
		g.pendingBytes -= e.size()
	}
}

// logRead is a read of the log that has not returned yet.
type logRead struct {
	erased []uint64 // events that were erased since the read began; the result may contain them
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

// eraseElement replaces the event with this seq by an erased element, if elements contains it.
func eraseElement(elements []*Event, seq uint64) {
	i, found := slices.BinarySearchFunc(elements, seq, func(e *Event, seq uint64) int { return int(min(max(int64(e.ID.Seq-seq), -1), 1)) })
	if found && elements[i].Topic != "" {
		elements[i] = erasedElement(elements[i].ID)
	}
}

// erase marks the event as erased, so that its removal from the log counts as no loss.
func (l *lossIndex) erase(seq uint64) {
	i := l.pending.search(func(e logElement) bool { return e.seq >= seq })
	if i < l.pending.len() && l.pending.at(i).seq == seq && l.pending.at(i).topic != "" {
		l.pending.set(i, logElement{seq: seq, erased: true})
	}
}

// skipErased records that all events up to seq that were not removed before were erased.
func (l *lossIndex) skipErased(seq uint64) {
	for l.pending.len() > 0 && l.pending.at(0).seq <= seq {
		l.pending.pop()
	}
	l.removed, l.known = max(l.removed, seq), max(l.known, seq)
}
