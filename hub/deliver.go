package hub

import (
	"strings"
	"sync"
	"time"
)

// Limits of one step of deliver.
const (
	maxDelivered = 128  // number of events that are matched before they are added
	maxMatches   = 4096 // number of matches after which the matched events are added; exceeded if the last event matches many groups
	maxSteps     = 512  // number of topic tokens and groups processed before the lock is released for a moment
)

// delivery is the state of the method deliver. Later calls reuse its memory.
type delivery struct {
	mu          sync.Mutex // held by deliver, which any goroutine may call; locked before Hub.mu
	candidates  []*group   // reused by matchTopic and applyErasure
	matched     []groupMatch
	stepsInHold int // number of steps since Hub.mu was locked
}

// groupMatch pairs an event with a group whose filters match the event.
type groupMatch struct {
	group *group
	event int // index of the event in the argument of matchGroups and addEvents
}

// maxReusable is the largest capacity of a slice that a delivery keeps for reuse.
const maxReusable = 1024

// deliver adds the engine's events to the in-memory log and to the groups. Matching filters with topics
// is the expensive part. deliver does this under a read lock, before it takes the write lock.
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

// matchGroups finds the groups that match the events. It may stop early: n is the number of events that
// it has matched. Groups that other goroutines create in the meantime are added to newGroups.
func (h *Hub) matchGroups(events []*Event) (n int) {
	d := &h.delivery
	var t topicTokens
	same := 0 // number of groups that match the previous event
	for n < len(events) && len(d.matched) < maxMatches {
		topic, known := events[n].Topic, len(d.matched)
		switch {
		case topic == "":
			t.text = ""
		case topic == t.text: // events with the topic of the previous one match the same groups
			for _, m := range d.matched[known-same:] {
				d.matched = append(d.matched, groupMatch{m.group, n})
			}
		default:
			t.split(topic)
			h.matchTopic(&t, n)
		}
		same = len(d.matched) - known
		n++
	}
	return n
}

// matchTopic appends the groups that match the topic to delivery.matched.
func (h *Hub) matchTopic(t *topicTokens, event int) {
	d := &h.delivery
	d.candidates = d.candidates[:0]
	var state gatherState
	for done := false; !done; {
		h.mu.RLock()
		h.matching = true // only deliver writes it, so a read lock is enough
		d.candidates, done = h.index.gather(d.candidates, t, &state, h.steps)
		h.mu.RUnlock()
	}
	for _, g := range d.candidates {
		if g.set.c.match(t) {
			d.matched = append(d.matched, groupMatch{g, event})
		}
	}
	clear(d.candidates)
}

// addEvents adds the matched events to the in-memory log and to the groups. It may release the lock
// between two steps. While the lock is released, an event may have been added to only some of the
// groups that match it; see addition.
func (h *Hub) addEvents(events []*Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.batches.clock.update()
	h.delivery.stepsInHold = 0
	matched := h.delivery.matched
	for i, e := range events {
		n := 0
		for n < len(matched) && matched[n].event == i {
			n++
		}
		h.memlog.adding = addition{running: true, lastSeqBefore: h.memlog.lastSeq}
		switch {
		case e.Erases != 0:
			h.applyErasure(e)
		case e.Topic == "":
			h.addDeletedRange(e)
		default:
			h.addEvent(e, matched[:n])
		}
		h.memlog.adding = addition{}
		matched = matched[n:]
	}
	clear(h.newGroups)
	h.newGroups, h.matching = h.newGroups[:0], false
	for !h.memlog.trim(time.Unix(0, h.memlog.ageTime)) {
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

// addEvent adds an event to the in-memory log and to the groups that match it. mu must be held;
// addEvent may release it for a moment.
func (h *Hub) addEvent(e *Event, matched []groupMatch) {
	h.memlog.add(e)
	h.stats.published++
	h.countSteps(1 + strings.Count(e.Topic, "."))
	for _, m := range matched {
		h.pushToGroup(m.group, e)
		h.countSteps(1)
	}
	for _, g := range h.newGroups { // a group that is created from now on starts after the event
		if g.set.Match(e.Topic) {
			h.pushToGroup(g, e)
		}
		h.countSteps(1)
	}
}

// countSteps counts n steps and releases the lock for a moment after maxSteps. mu must be held.
func (h *Hub) countSteps(n int) {
	if h.delivery.stepsInHold += n; h.delivery.stepsInHold >= h.steps {
		h.yield()
		h.delivery.stepsInHold = 0
	}
}

// pushToGroup adds an event to a group and queues the group. It does nothing if the group has no subscriptions left
// or was created after the event. mu must be held.
func (h *Hub) pushToGroup(g *group, e *Event) {
	if len(g.subs) == 0 || g.last >= e.ID.Seq {
		return
	}
	g.push(e)
	h.enqueueGroup(g)
}

// enqueueGroup queues the group for the fan-out workers if it has something to offer. mu must be held.
func (h *Hub) enqueueGroup(g *group) {
	if !g.queued && g.waits() {
		g.queued = true
		h.fanout.push(g)
	}
}

// addDeletedRange applies a deleted range of the log. It removes all events from the in-memory log, because
// they are older than the end of the range. It also queues all groups, so that their subscriptions read the
// range through the replay reader.
func (h *Hub) addDeletedRange(deletedRange *Event) {
	for !h.memlog.clear() {
		h.yield()
	}
	h.memlog.restartAfter(deletedRange)
	h.memlog.adding.deletedTo = deletedRange.ID.Seq
	for _, g := range h.groups { // a group that is added during the iteration starts after the range
		if g.last < deletedRange.ID.Seq {
			g.skipDeletedRange(deletedRange.ID.Seq)
			h.enqueueGroup(g)
		}
		h.countSteps(1)
	}
}
