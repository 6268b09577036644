package hub

import (
	"strings"
	"sync"
	"time"
)

// Bounds of what deliver does at once.
const (
	maxDelivered = 128  // events that are matched before they are added
	maxMatches   = 4096 // the same of matches, but for those of the last event
	maxSteps     = 512  // tokens of topics, and groups, in one hold of the lock
)

// delivery is what deliver works with; its memory is kept from one call to the next.
type delivery struct {
	mu          sync.Mutex // an engine has one call at a time; this orders them, before Hub.mu
	candidates  []*group   // of all events, in their order
	matched     []groupMatch
	stepsInHold int // in this hold of Hub.mu
}

// groupMatch is a feed that an event concerns.
type groupMatch struct {
	group *group
	event int // among those of one call of push
}

// maxReusable bounds the memory that a delivery keeps, in elements.
const maxReusable = 1024

// deliver takes events from the engine, in order, into the window and to the feeds. What costs most,
// matching filters with topics, it does before it takes the lock to change anything.
func (h *Hub) deliver(events []*Event) {
	d := &h.delivery
	d.mu.Lock()
	defer d.mu.Unlock()
	for len(events) > 0 {
		n := h.matchGroups(events[:min(len(events), maxDelivered)])
		h.addEvents(events[:n])
		clear(d.matched)
		events, d.matched = events[n:], d.matched[:0]
	}
	if cap(d.matched) > maxReusable || cap(d.candidates) > maxReusable {
		d.candidates, d.matched = nil, nil
	}
}

// matchGroups finds the feeds that the first events concern, and returns how many events those are. A feed
// that is made meanwhile is among born.
func (h *Hub) matchGroups(events []*Event) (n int) {
	d := &h.delivery
	var t topicTokens
	for n < len(events) && len(d.matched) < maxMatches {
		if e := events[n]; e.Topic != "" {
			t.split(e.Topic)
			d.candidates = d.candidates[:0]
			var state gatherState
			for done := false; !done; {
				h.mu.RLock()
				h.matching = true // nobody else writes it while somebody may read it
				d.candidates, done = h.index.gather(d.candidates, &t, &state, h.steps)
				h.mu.RUnlock()
			}
			for _, g := range d.candidates {
				if g.set.c.match(&t) {
					d.matched = append(d.matched, groupMatch{g, n})
				}
			}
			clear(d.candidates)
		}
		n++
	}
	return n
}

// addEvents adds the events that have been matched to the window and to the feeds. It releases the lock between
// two steps of that where it took many, also before all feeds have an event that the window has: see
// memlog.adding.
func (h *Hub) addEvents(events []*Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.delivery.stepsInHold = 0
	matched := h.delivery.matched
	for i, e := range events {
		n := 0
		for n < len(matched) && matched[n].event == i {
			n++
		}
		h.memlog.adding, h.memlog.lastSeqBefore = true, h.memlog.lastSeq
		switch {
		case e.Erases != 0:
			h.applyErasure(e)
		case e.Topic == "":
			h.addDeletedRange(e)
		default:
			h.addEvent(e, matched[:n])
		}
		h.memlog.adding, h.memlog.deletedTo = false, 0
		matched = matched[n:]
	}
	clear(h.newGroups)
	h.newGroups, h.matching = h.newGroups[:0], false
	for !h.memlog.trim(time.Unix(0, h.memlog.maxAgeTime)) {
		h.yield()
	}
	select {
	case h.wakeExpiry <- struct{}{}:
	default:
	}
	for !h.endDeliveryWaits() {
		h.yield()
	}
}

// addEvent takes an event that the matches are of. Called with mu held, which it may release meanwhile.
func (h *Hub) addEvent(e *Event, matched []groupMatch) {
	h.memlog.add(e)
	h.stats.published.Add(1)
	h.countSteps(1 + strings.Count(e.Topic, "."))
	for _, m := range matched {
		h.pushToGroup(m.group, e)
		h.countSteps(1)
	}
	for _, g := range h.newGroups { // a feed that is made from now on begins after the event
		if g.set.Match(e.Topic) {
			h.pushToGroup(g, e)
		}
		h.countSteps(1)
	}
}

// countSteps counts steps of deliver, and releases the lock after as many as one hold may have. Called with mu held.
func (h *Hub) countSteps(n int) {
	if h.delivery.stepsInHold += n; h.delivery.stepsInHold >= h.steps {
		h.yield()
		h.delivery.stepsInHold = 0
	}
}

// pushToGroup adds an event to a feed and has it offered. Nobody may be left in the feed, and a new feed may begin
// after the event. Called with mu held.
func (h *Hub) pushToGroup(g *group, e *Event) {
	if len(g.subs) == 0 || g.last >= e.ID.Seq {
		return
	}
	g.push(e)
	h.enqueueGroup(g)
}

// enqueueGroup has the feed's subscribers offered what there is. Called with mu held.
func (h *Hub) enqueueGroup(g *group) {
	if !g.queued {
		g.queued = true
		h.fanout.push(g)
	}
}

// addDeletedRange goes over a hole in the log. What the window has from before it is left to the archive, so
// that every reader comes to the hole in its place; and every feed is queued, for its readers to look.
func (h *Hub) addDeletedRange(hole *Event) {
	for !h.memlog.clear() {
		h.yield()
	}
	h.memlog.restartAfter(hole)
	h.memlog.deletedTo = hole.ID.Seq
	for _, g := range h.groups { // what stays in the map is visited once
		if g.last < hole.ID.Seq {
			g.skipDeletedRange(hole.ID.Seq)
			h.enqueueGroup(g)
		}
		h.countSteps(1)
	}
}
