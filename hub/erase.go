package hub

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// erasePatience is how long Erase waits until this hub has removed the event from its memory.
const erasePatience = 5 * time.Second

// Erase removes an event from the log for good: from memory and from the engine's storage, on all hubs that
// share the log. Subscribers that resume before the event get no gap, and its ID stays a valid cursor. A
// subscriber to which the event is being sent may still get it.
//
// The error is ErrNoEvent, ErrClosed, or one that wraps ErrUnavailable, after which the event may be erased
// or not.
func (h *Hub) Erase(ctx context.Context, id Cursor) error {
	eraser, ok := h.engine.(Eraser)
	if !ok || id.Epoch != h.epoch || id.Seq == 0 {
		return ErrNoEvent
	}
	h.erasing.Lock()
	defer h.erasing.Unlock()
	if h.archive == nil && !h.retains(id.Seq) {
		return ErrNoEvent
	}
	at, err := eraser.Erase(ctx, id.Seq)
	if err != nil {
		return err
	}
	h.stats.erased.Add(1)
	ctx, cancel := context.WithTimeout(ctx, erasePatience)
	defer cancel()
	h.await(ctx, at) // a hub that lags behind its log removes it later
	return nil
}

// retains reports whether the in-memory log has the event.
func (h *Hub) retains(seq uint64) bool {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.window.event(seq) != nil
}

// erase takes an element of the log that erases an event. Called by deliver with mu held.
func (h *Hub) erase(element *Event) {
	h.window.head = max(h.window.head, element.ID.Seq)
	if e := h.window.erase(element.Erases); e != nil {
		var t topicTokens
		t.split(e.Topic)
		var g gathering
		for done := false; !done; {
			d := &h.delivery
			d.candidates, done = h.index.gather(d.candidates[:0], &t, &g, h.steps)
			for _, f := range d.candidates {
				f.erase(e)
			}
			h.step(len(d.candidates))
			clear(d.candidates)
		}
	}
	if h.archive != nil {
		h.archive.erase(element.Erases)
	}
}

// erased returns what stands in a log in place of an erased event.
func erased(id Cursor) *Event { return &Event{ID: id, Erases: id.Seq} }

// event returns the retained event with this seq, nil if there is none.
func (w *window) event(seq uint64) *Event {
	if i := w.find(seq); i >= 0 {
		return w.events.at(i)
	}
	return nil
}

// find returns the index of the retained event with this seq, -1 if there is none or it was erased.
func (w *window) find(seq uint64) int {
	if seq == 0 {
		return -1
	}
	i := firstAfter(&w.events, seq-1)
	if i == w.events.len() || w.events.at(i).ID.Seq != seq || w.events.at(i).Erases != 0 {
		return -1
	}
	return i
}

// erase puts a placeholder in the place of a retained event, and returns the event; nil if there is none.
// The placeholder has the topic, by which it is found in the topic's own log, and no data. Once retention
// removes it, it counts as no loss. An older event of its conflation key stays superseded.
func (w *window) erase(seq uint64) *Event {
	i := w.find(seq)
	if i < 0 {
		return nil
	}
	e := w.events.at(i)
	place := erased(e.ID)
	place.Topic, place.Time = e.Topic, e.Time
	place.order, place.taken = e.order, e.taken
	w.events.set(i, place)
	own := w.topics.byName[e.Topic].log
	own.set(firstAfter(own, seq-1), place)
	if about := (subject{e.Topic, e.Key}); w.latest[about] == e {
		delete(w.latest, about)
	}
	w.bytes += place.size() - e.size()
	w.erased++
	w.cache.erase(e, place)
	return e
}

// popErased removes the oldest event of the topic, which was erased.
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
		t.prune(n)
	}
}

// erase drops the encodings of an event and keeps none that is made later. The placeholder takes the event's
// place, so that nothing here refers to its data.
func (c *encodingCache) erase(e, place *Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e.keepsNothing = true
	c.bytes.Add(-e.dropForms())
	if !e.keepsForm {
		return
	}
	place.keepsForm = true
	if i := c.ascending.search(func(other *Event) bool { return other.ID.Seq >= e.ID.Seq }); i < c.ascending.len() && c.ascending.at(i) == e {
		c.ascending.set(i, place)
	} else if i := slices.Index(c.late, e); i >= 0 {
		c.late[i] = place
	}
}

// erase removes an event that no round has offered yet.
func (f *feed) erase(e *Event) {
	i, found := slices.BinarySearchFunc(f.pending, e.ID.Seq, func(p *Event, seq uint64) int { return cmp.Compare(p.ID.Seq, seq) })
	if found {
		f.pending = slices.Delete(f.pending, i, i+1)
		f.pendingBytes -= e.size()
	}
}

// logRead is a read of the log that is under way.
type logRead struct {
	erased []uint64 // what was erased since it began, which it may have found all the same
}

// read has fetch read the log, and calls take, with mu held, with what it found.
func (a *archive) read(fetch func() ([]*Event, error), take func(elements []*Event)) error {
	r := new(logRead)
	a.mu.Lock()
	a.reads[r] = struct{}{}
	a.mu.Unlock()
	elements, err := fetch()
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.reads, r)
	if err != nil {
		return err
	}
	for _, seq := range r.erased {
		eraseOf(elements, seq)
	}
	take(elements)
	return nil
}

// erase removes an event from what was read of the log. Called with Hub.mu held, so nobody reads a chunk.
func (a *archive) erase(seq uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for r := range a.reads {
		r.erased = append(r.erased, seq)
	}
	for i := range a.chunks {
		eraseOf(a.chunks[i].elements, seq)
	}
	a.tail.erase(seq)
}

// eraseOf replaces the event with this seq, if it is among the elements.
func eraseOf(elements []*Event, seq uint64) {
	i, found := slices.BinarySearchFunc(elements, seq, func(e *Event, seq uint64) int { return int(min(max(int64(e.ID.Seq-seq), -1), 1)) })
	if found && elements[i].Topic != "" {
		elements[i] = erased(elements[i].ID)
	}
}

// erase has the tail know that the event is no loss when the log lets it go.
func (t *tail) erase(seq uint64) {
	i := t.next.search(func(e tailed) bool { return e.seq >= seq })
	if i < t.next.len() && t.next.at(i).seq == seq && t.next.at(i).topic != "" {
		t.next.set(i, tailed{seq: seq, erased: true})
	}
}

// skip notes that all between what is gone and seq was erased.
func (t *tail) skip(seq uint64) {
	for t.next.len() > 0 && t.next.at(0).seq <= seq {
		t.next.pop()
	}
	t.removed, t.known = max(t.removed, seq), max(t.known, seq)
}
