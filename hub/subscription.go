package hub

import "time"

// Sink is notified when a subscription has events to read. It is a connection writer or a Bell.
type Sink interface {
	// Ready notifies the subscriber. A fan-out worker calls it with a batch of events for the subscription.
	// The replay reader calls it with an empty batch when a Read that returned Waiting can continue. Ready
	// must not block. It may be called once more after Subscription.Close has returned.
	Ready(r *Round)
}

// Bell is a notifier: a Sink and a Holder that sends on its channel when it is called.
type Bell chan struct{}

// NewBell returns a new Bell.
func NewBell() Bell { return make(Bell, 1) }

// Ready implements Sink.
func (b Bell) Ready(*Round) { b.ring() }

// OnRightsChanged implements Holder. The receiver must check its grant whenever it receives.
func (b Bell) OnRightsChanged() { b.ring() }

func (b Bell) ring() {
	select {
	case b <- struct{}{}:
	default: // a notification is already pending
	}
}

// Request describes a subscription.
type Request struct {
	Filters FilterSet // may be empty; see Subscription.SetFilters
	Start   Start
	// Conflate delivers, of the unread events with the same topic and key, only the newest. For events older
	// than the in-memory log, it compares only the events of one replay chunk and of the in-memory log.
	Conflate bool

	located *located // set by Hub.Locate; nil: not located yet, or the start needs no search
}

// Subscription is a set of filters and a position in the log. It has no queue and no goroutine: it reads events
// from the in-memory log, or older ones from the durable log.
//
// Close, Filters and Retained may be called by any goroutine, the other methods by one at a time, the owner of the Sink.
type Subscription struct {
	// static

	hub      *Hub
	sink     Sink
	conflate bool

	// owned by the reader

	begun     bool // reading has started: a Read has completed, or Skip was called
	unsure    bool // the position is after the last delivered event, and may be past the log's end
	seeking   bool // the position of the start time since is not known yet
	held      bool // started after a cursor without filters: the position stays until there are filters
	scattered bool // see window.merge; reset once everything has been read
	origin    origin
	trace     *trace      // backward scan for a start with Last; later it lists the events that it found
	position  uint64      // all matching events up to this seq have been read
	lost      *lost       // gap to report first: the start position is not in this log
	since     time.Time   // start time; zero once no older event can follow
	rounds    *feed       // group whose batches are accepted; a batch of an earlier group may still arrive
	losses    *lossSearch // search for events that the in-memory log lost after the position; nil: none
	hole      *holeSearch // search for events that the durable log lost after the position; nil: none

	// guarded by Hub.mu

	closed bool
	slot   int32 // index in feed.subs
	feed   *feed // nil: no filters, or closed
}

// Position returns the position of the subscription. All matching events up to it have been read.
func (s *Subscription) Position() Cursor { return Cursor{s.hub.epoch, s.position} }

// Reached reports whether all matching events up to seq have been read, and the gap at the start, if any, has
// been reported.
func (s *Subscription) Reached(seq uint64) bool {
	return s.lost == nil && !s.unsure && s.position >= seq
}

// Place returns the cursor from which a subscriber can resume, as text. It is Position, except while a gap at the
// start has not been reported: then it is the cursor from the request, so that resuming reports the gap again.
func (s *Subscription) Place() string {
	if s.lost != nil {
		return s.lost.begin
	}
	return s.Position().String()
}

// Batch is the result of one Read.
type Batch struct {
	// Gap is a gap before Events, or nil.
	Gap *Gap
	// Overtaken is set if the subscription had already been reading and fell behind retention.
	Overtaken bool
	Events    []*Event
	// More is set if the read stopped at the caller's limit or at the hub's own bound. Call Read again, and
	// call Turn first if this read found nothing.
	More bool
	// Waiting is set if the next events are being fetched. The hub calls Sink.Ready when they are available.
	Waiting bool
}

// Read returns the events after the position, within the limit, and moves the position past them. If there is
// nothing to read, the batch is empty and the position is that of the newest event. A subscription that started
// after a cursor without filters keeps its position until it has filters.
func (s *Subscription) Read(limit ReadLimit) Batch {
	s.hub.mu.RLock()
	defer s.hub.mu.RUnlock()
	w := s.hub.window
	if w.pushing && !s.held && !s.hasMore() { // everything was read except the element that is being added
		s.position, s.begun, s.scattered = max(s.position, w.settled), true, false
	}
	switch {
	case s.held:
		return Batch{}
	case s.hub.archive != nil && !s.located():
		return Batch{Waiting: true}
	case !s.behind():
		// No removed event matched the filters, so nothing was lost.
		s.position, s.begun, s.scattered = max(s.position, w.head), true, false
		return Batch{}
	case s.hub.archive != nil && (s.lost != nil || s.position < w.floor) && w.floor > 0:
		return s.readArchive(limit)
	}
	var b Batch
	set := s.set()
	gap, done := s.gap(w, set)
	if !done {
		return Batch{More: true}
	}
	b.Gap = gap
	b.Overtaken = b.Gap != nil && s.begun
	s.begun = true
	before := s.position
	b.Events, s.position = w.read(nil, set, before, limit, s.conflate, &s.scattered)
	b.Events = s.due(b.Events)
	b.More = s.position < w.head
	return b
}

// set returns the current filters. Hub.mu must be held.
func (s *Subscription) set() FilterSet {
	if s.feed == nil {
		return FilterSet{}
	}
	return s.feed.set
}

// due returns the events without those that are older than the start time. It clears the start time once no
// older event can follow.
func (s *Subscription) due(events []*Event) []*Event {
	if s.since.IsZero() {
		return events
	}
	early := 0
	for early < len(events) && events[early].Time.Before(s.since) {
		early++
	}
	if early < len(events) || !s.since.After(time.Now()) {
		s.since = time.Time{} // no older event follows
	}
	return events[early:]
}

// Take returns the index of the first event in the batch that the subscription has not read. If ok, its unread
// events up to r.To are exactly r.Events[start:], and the caller calls Skip as it delivers them. If not ok, the
// caller must use Read; for example, the batch may belong to the filters before SetFilters.
func (s *Subscription) Take(r *Round) (start int, ok bool) {
	if r.feed != s.rounds || s.position < r.From || s.lost != nil || s.unsure || s.trace.pending() || s.conflate || !s.since.IsZero() {
		return 0, false
	}
	if s.position >= r.To {
		return len(r.Events), true
	}
	for start < len(r.Events) && r.Events[start].ID.Seq <= s.position {
		start++
	}
	return start, true
}

// Skip moves the position forward to seq. The caller has delivered all matching events up to seq from a batch.
func (s *Subscription) Skip(seq uint64) {
	s.position = max(s.position, seq)
	s.begun = true
}

// Filters returns the current filters, which are empty after Close. It is safe for concurrent use.
func (s *Subscription) Filters() FilterSet {
	s.hub.mu.RLock()
	defer s.hub.mu.RUnlock()
	return s.set()
}

// SetFilters replaces the filters, from the current position on. As after Subscribe, the caller must call Read
// once for events that are already in the log, if Behind returns true.
func (s *Subscription) SetFilters(set FilterSet) {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	s.join(set)
	if !s.trace.pending() {
		s.trace = nil // its result was for the previous filters
	}
	if !s.begun && !s.seeking {
		s.since = time.Time{} // for the new filters, only the position counts
	}
}

// Restart replaces the filters and the position by those of the request. It ignores Conflate.
func (s *Subscription) Restart(r Request) {
	r = s.hub.Locate(r)
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	s.join(r.Filters)
	s.start(r)
}

// join moves the subscription to the subscription group of the set. Hub.mu must be held.
func (s *Subscription) join(set FilterSet) {
	if s.closed {
		return
	}
	s.stopSearches() // they are for the previous filters
	s.scattered = false
	s.leave()
	if set.Len() > 0 {
		s.held = false
		s.feed = s.hub.feedOf(set)
		s.feed.attach(s)
	}
	s.rounds = s.feed
}

func (s *Subscription) leave() {
	if s.feed == nil {
		return
	}
	s.feed.detach(s)
	s.hub.release(s.feed)
	s.feed = nil
}

// Close closes the subscription. It may be called more than once and by any goroutine.
func (s *Subscription) Close() {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	if !s.closed {
		s.stopSearches()
		s.leave()
		s.closed = true
		s.hub.subscriptions--
		if s.hub.archive != nil {
			s.hub.archive.forget(s)
		}
	}
}

// Behind reports whether there may be something to read.
func (s *Subscription) Behind() bool {
	s.hub.mu.RLock()
	defer s.hub.mu.RUnlock()
	return s.behind()
}

func (s *Subscription) behind() bool {
	w := s.hub.window
	return s.hasMore() || s.feed != nil && w.pushing && s.position < w.head
}

// hasMore reports the same as behind, without regard to the element that is being added to the groups.
func (s *Subscription) hasMore() bool {
	return !s.held && (s.lost != nil || s.unsure || s.trace.pending()) || s.feed != nil && s.position < s.feed.last
}

// Begun reports whether the start of the subscription has been located. Until then, its position is before
// every event that it can receive.
func (s *Subscription) Begun() bool { return !s.seeking && !s.trace.pending() }

// Newest returns the position of a subscription that has read everything.
func (s *Subscription) Newest() Cursor { return s.hub.Position() }
