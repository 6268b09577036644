package hub

import (
	"runtime"
	"time"
)

// Request describes a subscription.
type Request struct {
	Filters FilterSet // may be empty; see Subscription.SetFilters
	Start   Start
	// Conflate makes the hub deliver only the newest of the unread events with the same topic and
	// key. An event older than the in-memory log is compared only with the events of the same
	// replay chunk and of the in-memory log.
	Conflate bool

	located *locatedStart // set by Hub.Locate; nil: not located yet, or the start needs no search
}

// subscriptionState is the progress of a subscription since Subscribe or Restart.
//
//	state     position           ends at                                         next state
//	locating  provisional        the first Read after the locator is done        unread or foreign
//	foreign   not in this log    the Read that reports the gap                   reading
//	unread    exact              the first Read that completes, or Advance       reading
//	reading   exact
//
// The first state is locating if the start must be found in the durable log, foreign if the cursor is not in this log,
// and otherwise unread. A subscription with a cursor but without filters is paused until its state is reading: Read
// does nothing.
type subscriptionState uint8

const (
	unread subscriptionState = iota
	locating
	foreign
	reading
)

// Subscription is a set of filters and a position in the log. It has no queue and no goroutine: it reads events from
// the in-memory log, and older events from the durable log.
//
// Close, Filters and Retained are safe for concurrent use. The other methods may be called by one goroutine at a time,
// the owner of the Sink.
type Subscription struct {
	subscriber
	hub *Hub // static

	// Guarded by Hub.mu.

	group  *group // nil: no filters, or closed
	closed bool   // the small fields are adjacent to save memory

	conflate bool // static

	// Owned by the goroutine that reads.

	state       subscriptionState
	origin      origin
	scattered   bool          // see memlog.merge; reset once everything has been read
	position    uint64        // all matching events up to this seq have been read
	search      *startSearch  // search for the start position; set in state locating
	foreign     *foreignStart // set in state foreign
	found       []uint64      // seqs of the unread events that a backward scan found, then the first seq of the in-memory log; nil: no scan
	since       time.Time     // start time; zero once no older event can follow
	batchGroup  *group        // group whose batches are accepted; batches of an earlier group may still be offered
	lossSearch  *lossSearch   // search for events that the in-memory log lost after the position; nil: none
	density     density       // share of the read events that match
	rangeSearch *rangeSearch  // search for events that the durable log lost after the position; nil: none
}

// Position returns the position of the subscription. All matching events up to it have been read.
func (s *Subscription) Position() Cursor { return Cursor{s.hub.epoch, s.position} }

// Reached reports whether all matching events up to seq have been read, and the gap at the start, if any, has
// been reported.
func (s *Subscription) Reached(seq uint64) bool {
	return s.isExact() && s.position >= seq
}

// Cursor returns the cursor from which a subscriber can resume. Usually this is Position. While a gap at the start has
// not been reported, it is the cursor of the request, so that the gap is reported after resuming.
func (s *Subscription) Cursor() string {
	if s.state == foreign {
		return s.foreign.cursor
	}
	return s.Position().String()
}

// ReadResult is the result of one Read.
type ReadResult struct {
	// Gap is a gap before Events, or nil.
	Gap *Gap
	// FellBehind is set if the subscription had already been reading and fell behind retention.
	FellBehind bool
	Events     []*Event
	// More is set if the read stopped at the caller's limit or at the hub's own bound. The caller must then call Read
	// again, after WaitTurn if this read returned no events.
	More bool
	// Waiting is set if the next events are being fetched. The hub calls Sink.Ready when they are available.
	Waiting bool
}

// Read returns the events after the position, within the limit, and moves the position past them. If there is
// nothing to read, the result is empty and the position is that of the newest event. However, a subscription
// that starts with a cursor keeps its position until it has filters.
func (s *Subscription) Read(limit ReadLimit) ReadResult {
	s.hub.mu.RLock()
	defer s.hub.mu.RUnlock()
	l := s.hub.memlog
	if l.adding.running && !s.paused() && !s.hasMore() { // everything was read except the element that is being added to the groups
		s.finishRead(l.adding.lastSeqBefore)
	}
	switch {
	case s.paused():
		return ReadResult{}
	case s.state == locating && !s.finishLocating():
		return ReadResult{Waiting: true}
	case !s.behind():
		// No removed event matched the filters, so nothing was lost.
		s.finishRead(l.lastSeq)
		return ReadResult{}
	case s.hub.replay != nil && (s.state == foreign || s.position < l.lowWatermark) && l.lowWatermark > 0:
		return s.readReplay(limit)
	}
	var b ReadResult
	set := s.set()
	gap, done := s.findGap(l, set)
	if !done {
		return ReadResult{More: true}
	}
	b.Gap = gap
	b.FellBehind = b.Gap != nil && s.state == reading
	s.state = reading
	before := s.position
	b.Events, s.position = l.read(nil, set, before, limit, s.conflate, &s.scattered)
	b.Events = s.dropEarly(b.Events)
	b.More = s.position < l.lastSeq
	return b
}

// WaitTurn blocks until the subscriber may call Read again, after a Read that returned More and no events.
// The caller must call end when it is ready to read, and must not hold a lock that a Sink needs.
func (s *Subscription) WaitTurn() (end func()) {
	runtime.Gosched()
	s.hub.turns <- struct{}{}
	return func() { <-s.hub.turns }
}

// finishRead moves the position to seq. It must be called only if no unread event up to seq matches the
// filters.
func (s *Subscription) finishRead(seq uint64) {
	s.position, s.state, s.scattered = max(s.position, seq), reading, false
}

// isExact reports whether the position is known and in this log.
func (s *Subscription) isExact() bool { return s.state == unread || s.state == reading }

// paused reports whether the position stays unchanged until the subscription has filters. Hub.mu
// must be held.
func (s *Subscription) paused() bool {
	return s.group == nil && s.origin == byCursor && s.state != reading
}

// set returns the current filters. Hub.mu must be held.
func (s *Subscription) set() FilterSet {
	if s.group == nil {
		return FilterSet{}
	}
	return s.group.set
}

// dropEarly returns the events that are not older than the start time. It clears the start time once no older event
// can follow.
func (s *Subscription) dropEarly(events []*Event) []*Event {
	if s.since.IsZero() {
		return events
	}
	early := 0
	for early < len(events) && events[early].Time.Before(s.since) {
		early++
	}
	if early < len(events) || !s.since.After(time.Now()) {
		s.since = time.Time{} // no older event can follow
	}
	return events[early:]
}

// Offset returns the index of the first event in the batch that the subscription has not read. If ok is true,
// the subscription's unread events up to b.To are exactly b.Events[start:], and the caller must call Advance
// when it has delivered them. If ok is false, the caller must use Read instead. That happens, for example, if
// the batch is for filters that SetFilters has replaced.
func (s *Subscription) Offset(b *Batch) (start int, ok bool) {
	if b.group != s.batchGroup || s.position < b.From || !s.isExact() || s.conflate || !s.since.IsZero() {
		return 0, false
	}
	if s.position >= b.To {
		return len(b.Events), true
	}
	for start < len(b.Events) && b.Events[start].ID.Seq <= s.position {
		start++
	}
	return start, true
}

// Advance moves the position forward to seq. The caller must have delivered all matching events up to
// seq from a batch.
func (s *Subscription) Advance(seq uint64) {
	s.position = max(s.position, seq)
	s.state = reading
}

// Filters returns the current filters, which are empty after Close. It is safe for concurrent use.
func (s *Subscription) Filters() FilterSet {
	s.hub.mu.RLock()
	defer s.hub.mu.RUnlock()
	return s.set()
}

// SetFilters replaces the filters. The new filters apply from the current position on. If Behind then returns true, the
// caller must call Read for events that are already in the log.
func (s *Subscription) SetFilters(set FilterSet) {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	s.joinGroup(set)
	s.found = nil // the search was for the previous filters
	if s.state == unread {
		s.since = time.Time{} // with new filters, the subscription continues from its position
	}
}

// Restart replaces the filters and the position with the filters and the start of the request. It
// ignores Conflate.
func (s *Subscription) Restart(r Request) {
	r = s.hub.Locate(r)
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	if !s.closed {
		s.joinGroup(r.Filters)
		s.setStart(r)
	}
}

// joinGroup moves the subscription to the subscription group of the set. Hub.mu must be held.
func (s *Subscription) joinGroup(set FilterSet) {
	if s.closed {
		return
	}
	s.stopSearches() // these searches are for the previous filters
	s.scattered, s.density = false, density{from: s.position}
	s.leaveGroup()
	if set.Len() > 0 {
		s.group = s.hub.groupOf(set)
		s.group.attach(&s.subscriber, s.hub.shardSize)
	}
	s.batchGroup = s.group
}

func (s *Subscription) leaveGroup() {
	if s.group == nil {
		return
	}
	s.hub.releaseGroup(s.group, s.group.detach(&s.subscriber))
	s.group = nil
}

// Close closes the subscription. It may be called more than once and by any goroutine.
func (s *Subscription) Close() {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	if !s.closed {
		s.stopReads()
		s.leaveGroup()
		s.closed = true
		s.hub.subscriptions--
	}
}

// Behind reports whether there may be something to read.
func (s *Subscription) Behind() bool {
	s.hub.mu.RLock()
	defer s.hub.mu.RUnlock()
	return s.behind()
}

func (s *Subscription) behind() bool {
	l := s.hub.memlog
	return s.hasMore() || s.group != nil && l.adding.running && s.position < l.lastSeq
}

// hasMore reports the same as Behind, but ignores the element that is being added to the groups.
func (s *Subscription) hasMore() bool {
	return !s.paused() && !s.isExact() || s.group != nil && s.position < s.group.last
}

// Located reports whether the start of the subscription has been located. Until then, its position is before
// every event that it can receive.
func (s *Subscription) Located() bool { return s.state != locating || s.origin == byCursor }

// LogPosition returns the position of the hub's newest event.
func (s *Subscription) LogPosition() Cursor { return s.hub.Position() }

// Retained returns the event with the given sequence number, or nil if retention or an erasure has
// removed it from the in-memory log. A caller that sends a large event in parts can call it for each
// part instead of keeping the event in memory. It is safe for concurrent use, also after Close.
func (s *Subscription) Retained(seq uint64) *Event {
	s.hub.mu.RLock()
	defer s.hub.mu.RUnlock()
	return s.hub.memlog.event(seq)
}
