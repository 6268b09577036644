package hub

import (
	"strings"
	"sync"
	"time"
)

// Bounds of what deliver does at once.
const (
	maxDelivered = 128  // events that are matched before they are added
	maxPushes    = 4096 // the same of matches, but for those of the last event
	maxSteps     = 512  // tokens of topics, and groups, in one hold of the lock
)

// delivery is what deliver works with; its memory is kept from one call to the next.
type delivery struct {
	mu         sync.Mutex // an engine has one call at a time; this orders them, before Hub.mu
	candidates []*feed    // of all events, in their order
	matched    []match
	steps      int // in this hold of Hub.mu
}

// match is a feed that an event concerns.
type match struct {
	feed  *feed
	event int // among those of one call of push
}

// maxKept bounds the memory that a delivery keeps, in elements.
const maxKept = 1024

// deliver takes events from the engine, in order, into the window and to the feeds. What costs most,
// matching filters with topics, it does before it takes the lock to change anything.
func (h *Hub) deliver(events []*Event) {
	d := &h.delivery
	d.mu.Lock()
	defer d.mu.Unlock()
	for len(events) > 0 {
		n := h.match(events[:min(len(events), maxDelivered)])
		h.push(events[:n])
		clear(d.matched)
		events, d.matched = events[n:], d.matched[:0]
	}
	if cap(d.matched) > maxKept || cap(d.candidates) > maxKept {
		d.candidates, d.matched = nil, nil
	}
}

// match finds the feeds that the first events concern, and returns how many events those are. A feed
// that is made meanwhile is among born.
func (h *Hub) match(events []*Event) (n int) {
	d := &h.delivery
	var t topicTokens
	for n < len(events) && len(d.matched) < maxPushes {
		if e := events[n]; e.Topic != "" {
			t.split(e.Topic)
			d.candidates = d.candidates[:0]
			var g gathering
			for done := false; !done; {
				h.mu.RLock()
				h.matching = true // nobody else writes it while somebody may read it
				d.candidates, done = h.index.gather(d.candidates, &t, &g, h.steps)
				h.mu.RUnlock()
			}
			for _, f := range d.candidates {
				if f.set.c.match(&t) {
					d.matched = append(d.matched, match{f, n})
				}
			}
			clear(d.candidates)
		}
		n++
	}
	return n
}

// push adds the events that have been matched to the window and to the feeds. It releases the lock between
// two steps of that where it took many, also before all feeds have an event that the window has: see
// window.pushing.
func (h *Hub) push(events []*Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.delivery.steps = 0
	matched := h.delivery.matched
	for i, e := range events {
		n := 0
		for n < len(matched) && matched[n].event == i {
			n++
		}
		h.window.pushing, h.window.settled = true, h.window.head
		switch {
		case e.Erases != 0:
			h.erase(e)
		case e.Topic == "":
			h.pass(e)
		default:
			h.add(e, matched[:n])
		}
		h.window.pushing, h.window.passing = false, 0
		matched = matched[n:]
	}
	clear(h.born)
	h.born, h.matching = h.born[:0], false
	for !h.window.trim(time.Unix(0, h.window.taken)) {
		h.yield()
	}
	select {
	case h.aged <- struct{}{}:
	default:
	}
	for !h.arrived() {
		h.yield()
	}
}

// add takes an event that the matches are of. Called with mu held, which it may release meanwhile.
func (h *Hub) add(e *Event, matched []match) {
	h.window.add(e)
	h.stats.published.Add(1)
	h.step(1 + strings.Count(e.Topic, "."))
	for _, m := range matched {
		h.give(m.feed, e)
		h.step(1)
	}
	for _, f := range h.born { // a feed that is made from now on begins after the event
		if f.set.Match(e.Topic) {
			h.give(f, e)
		}
		h.step(1)
	}
}

// step counts steps of deliver, and releases the lock after as many as one hold may have. Called with mu held.
func (h *Hub) step(n int) {
	if h.delivery.steps += n; h.delivery.steps >= h.steps {
		h.yield()
		h.delivery.steps = 0
	}
}

// give adds an event to a feed and has it offered. Nobody may be left in the feed, and a new feed may begin
// after the event. Called with mu held.
func (h *Hub) give(f *feed, e *Event) {
	if len(f.subs) == 0 || f.last >= e.ID.Seq {
		return
	}
	f.push(e)
	h.queue(f)
}

// queue has the feed's subscribers offered what there is. Called with mu held.
func (h *Hub) queue(f *feed) {
	if !f.queued {
		f.queued = true
		h.fanout.push(f)
	}
}

// pass goes over a hole in the log. What the window has from before it is left to the archive, so
// that every reader comes to the hole in its place; and every feed is queued, for its readers to look.
func (h *Hub) pass(hole *Event) {
	for !h.window.clear() {
		h.yield()
	}
	h.window.restart(hole)
	h.window.passing = hole.ID.Seq
	for _, f := range h.feeds { // what stays in the map is visited once
		if f.last < hole.ID.Seq {
			f.skip(hole.ID.Seq)
			h.queue(f)
		}
		h.step(1)
	}
}
