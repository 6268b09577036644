package hub

import "time"

// Sink is told that there is something to read. It is the write side of a connection, or a Bell.
type Sink interface {
	// Ready is called by a fan-out worker when r has events for the subscription, and by the archive,
	// with an empty round, when a Read that was Waiting can go on. It must not block, and may be called
	// once more after Subscription.Close has returned.
	Ready(r *Round)
}

// Bell is a Sink and a Holder that wakes whoever receives from it.
type Bell chan struct{}

// NewBell makes a Bell.
func NewBell() Bell { return make(Bell, 1) }

// Ready implements Sink.
func (b Bell) Ready(*Round) { b.ring() }

// Revise implements Holder: who is woken looks at its grant too.
func (b Bell) OnRightsChanged() { b.ring() }

func (b Bell) ring() {
	select {
	case b <- struct{}{}:
	default: // it has rung and nobody has come yet
	}
}

// Request is what a subscriber asks for.
type Request struct {
	Filters FilterSet // empty: nothing yet
	Start   Start
	// Conflate: of the waiting events with one topic and key deliver only the newest. Behind the window
	// it is the newest of those that were read of the log at once, and none that the window has newer.
	Conflate bool

	located *located // see Hub.Locate; nil: not yet, or nothing has to be found
}

// Subscription is one subscriber: a set of filters and a position in the log. It has no queue;
// what it has not read is in the window, or in the log behind it. It has no goroutine either.
//
// Its methods other than Close are for one goroutine at a time: the owner of the Sink.
type Subscription struct {
	// static

	hub      *Hub
	sink     Sink
	conflate bool

	// owned by the reader

	begun     bool // has been read once
	unsure    bool // the position is past what was delivered: it may be past the log's end
	seeking   bool // where since begins is not known yet
	held      bool // began after a cursor without filters: it stands there until it has some
	scattered bool // see window.merge; until all has been read
	origin    origin
	trace     *trace      // finds where the newest of the log begin, and then what lies between them
	position  uint64      // all up to here has been read
	lost      *lost       // to be told before anything else: the start was not of this log
	since     time.Time   // of a start by time, until events come that are no older
	rounds    *feed       // whose rounds are for it: one of an earlier set may still be under way
	losses    *lossSearch // for what the window has lost after the position; nil: none is under way
	hole      *holeSearch // the same for the log

	// guarded by Hub.mu

	closed bool
	slot   int32 // in feed.subs
	feed   *feed // nil: no filters, or closed
}

// Position is where the subscription stands: everything of its filters up to there was read.
func (s *Subscription) Position() Cursor { return Cursor{s.hub.epoch, s.position} }

// Reached reports that all up to seq was read, what the start had to tell included.
func (s *Subscription) Reached(seq uint64) bool {
	return s.lost == nil && !s.unsure && s.position >= seq
}

// Place is Position as text, but while a gap of the start is still to be told it is the subscriber's
// own cursor: who resumes from it loses nothing, that gap included.
func (s *Subscription) Place() string {
	if s.lost != nil {
		return s.lost.begin
	}
	return s.Position().String()
}

// Batch is what one Read found.
type Batch struct {
	// Gap, if any, comes before the events.
	Gap *Gap
	// Overtaken means that the gap is of a subscriber that was reading and was too slow.
	Overtaken bool
	Events    []*Event
	// More means that the limit or the hub's own bound ended the read: read on, and after a read that found
	// nothing in one's Turn.
	More bool
	// Waiting means that there may be more, which has to be fetched: the Sink is told when it is there.
	Waiting bool
}

// Read takes what follows the position, within the limit, and moves the position past it. With
// nothing to read the batch is empty and the position is that of the newest event; but one that
// began after a cursor without filters stays there until it has some.
func (s *Subscription) Read(limit ReadLimit) Batch {
	s.hub.mu.RLock()
	defer s.hub.mu.RUnlock()
	w := s.hub.window
	if w.pushing && !s.held && !s.hasMore() { // it has read all but what is being added
		s.position, s.begun, s.scattered = max(s.position, w.settled), true, false
	}
	switch {
	case s.held:
		return Batch{}
	case s.hub.archive != nil && !s.located():
		return Batch{Waiting: true}
	case !s.behind():
		// What was let go meanwhile, whoever's it was, is no loss to this subscriber.
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

// set is of the filters subscribed to now. Called with Hub.mu held.
func (s *Subscription) set() FilterSet {
	if s.feed == nil {
		return FilterSet{}
	}
	return s.feed.set
}

// due leaves out the events that are older than a start at a time to come.
func (s *Subscription) due(events []*Event) []*Event {
	if s.since.IsZero() {
		return events
	}
	early := 0
	for early < len(events) && events[early].Time.Before(s.since) {
		early++
	}
	if early < len(events) || !s.since.After(time.Now()) {
		s.since = time.Time{} // what comes later is no older
	}
	return events[early:]
}

// Take finds where in the round the subscription stands. ok means that all events it has not read
// are the round's from start on; Skip moves the position as they are delivered. Otherwise, as when
// the round is of filters that it had before, it reads on its own.
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

// Skip moves the position forward to seq: all up to there was delivered from a round.
func (s *Subscription) Skip(seq uint64) {
	s.position = max(s.position, seq)
	s.begun = true
}

// Filters are those subscribed to now; none after Close. It may be called by any goroutine.
func (s *Subscription) Filters() FilterSet {
	s.hub.mu.RLock()
	defer s.hub.mu.RUnlock()
	return s.set()
}

// SetFilters changes what is subscribed to from the position on. As after Subscribe, what was
// there before must be asked for once with Read, if Behind says that there may be something.
func (s *Subscription) SetFilters(set FilterSet) {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	s.join(set)
	if !s.trace.pending() {
		s.trace = nil // it was of the filters before
	}
	if !s.begun && !s.seeking {
		s.since = time.Time{} // for other filters the position is what counts
	}
}

// Restart changes the filters and puts the subscription where the request says; Conflate is
// not looked at.
func (s *Subscription) Restart(r Request) {
	r = s.hub.Locate(r)
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	s.join(r.Filters)
	s.start(r)
}

// join moves the subscription to the feed of the set. Called with Hub.mu held.
func (s *Subscription) join(set FilterSet) {
	if s.closed {
		return
	}
	s.stopSearches() // they are of the filters before
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

// Close ends the subscription; it may be called more than once.
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

// Behind reports whether there is something to read, or may be.
func (s *Subscription) Behind() bool {
	s.hub.mu.RLock()
	defer s.hub.mu.RUnlock()
	return s.behind()
}

func (s *Subscription) behind() bool {
	w := s.hub.window
	return s.hasMore() || s.feed != nil && w.pushing && s.position < w.head
}

// hasMore is behind without the element that is being added to the feeds.
func (s *Subscription) hasMore() bool {
	return !s.held && (s.lost != nil || s.unsure || s.trace.pending()) || s.feed != nil && s.position < s.feed.last
}

// Begun reports that it is known where the subscription begins; until then its position is before
// all that it can get.
func (s *Subscription) Begun() bool { return !s.seeking && !s.trace.pending() }

// Newest is the position that a subscriber has who has read everything.
func (s *Subscription) Newest() Cursor { return s.hub.Position() }
