package hub

import (
	"sync"
	"time"
)

// Bounds of what deliver does while it holds the lock once.
const (
	maxDelivered = 128  // events
	maxPushes    = 4096 // events to feeds, but for those of the last event
)

// delivery is what deliver works with; its memory is kept from one call to the next.
type delivery struct {
	mu         sync.Mutex // an engine has one call at a time; this orders them, before Hub.mu
	candidates []*feed    // of all events, in their order
	matched    []match
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
			h.mu.RLock()
			h.matching = true // nobody else writes it while somebody may read it
			d.candidates = h.index.gather(d.candidates[:0], &t)
			h.mu.RUnlock()
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

// push takes the events that have been matched into the window, and to the feeds.
func (h *Hub) push(events []*Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	matched := h.delivery.matched
	for i, e := range events {
		switch {
		case e.Erases != 0:
			h.erase(e)
			continue
		case e.Topic == "":
			h.pass(e)
			continue
		}
		h.window.add(e)
		h.stats.published.Add(1)
		for ; len(matched) > 0 && matched[0].event == i; matched = matched[1:] {
			h.give(matched[0].feed, e)
		}
		for _, f := range h.born {
			if f.set.Match(e.Topic) {
				h.give(f, e)
			}
		}
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
	h.arrived()
}

// give adds an event to a feed and has it offered. Nobody may be left in the feed. Called with mu held.
func (h *Hub) give(f *feed, e *Event) {
	if len(f.subs) == 0 {
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
	for _, f := range h.feeds {
		f.skip(hole.ID.Seq)
		h.queue(f)
	}
}
