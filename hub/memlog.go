package hub

import (
	"cmp"
	"sync/atomic"
	"time"
)

// Retention limits what the in-memory log keeps. When a limit is exceeded, the oldest events are removed. The
// newest event is removed only by age.
type Retention struct {
	Events int           // 0: DefaultRetainEvents
	Bytes  int64         // memory of the events without their attachments; 0: DefaultRetainBytes
	Age    time.Duration // 0: DefaultRetainAge
	// GapTopics is the number of topics whose losses are remembered. Gaps are exact for these topics. Fewer topics
	// are remembered if they have so many distinct tokens that the topic tree reaches its memory limit. 0:
	// DefaultGapTopics.
	GapTopics int
}

// Defaults of Retention.
const (
	DefaultRetainEvents = 65536
	DefaultRetainBytes  = 64 << 20
	DefaultRetainAge    = 10 * time.Minute
	DefaultGapTopics    = 65536
)

func (r Retention) withDefaults() Retention {
	return Retention{
		Events:    cmp.Or(r.Events, DefaultRetainEvents),
		Bytes:     cmp.Or(r.Bytes, DefaultRetainBytes),
		Age:       cmp.Or(r.Age, DefaultRetainAge),
		GapTopics: cmp.Or(r.GapTopics, DefaultGapTopics),
	}
}

// maxRemovals is the maximum number of events that one call of trim or clear removes. It limits how
// long Hub.mu is held.
const maxRemovals = 64

// memlog is the in-memory log: the retained events, indexed by seq and by topic, and a record of the topics
// that have lost events. It is guarded by Hub.mu, except for the attachments of its events.
type memlog struct {
	keep         Retention // static
	visits       int       // static; maxVisits, except in tests
	events       deque[*Event]
	topics       topicTree
	latest       map[conflationKey]*Event // newest retained event for each topic and key
	bytes        int64                    // bytes of the events, see Event.size
	lastSeq      uint64                   // seq of the newest element that was added
	lowWatermark uint64                   // seq of the newest element that was removed: all later ones are retained
	removedTo    atomic.Uint64            // lowWatermark, for Event.Attach, which does not hold Hub.mu

	adding addition

	maxTime, ageTime int64 // maxTime and ageTime of the newest event
	clockRead        int64 // the latest reading of this machine's clock
	// timesOverlap is set if an event that is no longer retained may have a later time than a retained event.
	timesOverlap bool

	removed      [3]uint64 // events removed by retention, by reason
	placeholders int       // number of retained placeholders of erased events
	// onRemoved, if not nil, is called with each removed event and each deleted range, in order. The
	// parameter before is the seq of the previous event or range.
	onRemoved func(before uint64, e *Event)
}

// addition is the state of deliver between two steps of adding an element to the groups. The zero addition
// means that no element is being added.
type addition struct {
	running       bool
	lastSeqBefore uint64 // memlog.lastSeq before the element
	deletedTo     uint64 // seq of the element if it is a deleted range, otherwise 0
}

// conflationKey identifies a series of events. A conflating subscription receives only the newest of
// them.
type conflationKey struct{ topic, key string }

// removal is the reason why retention removed an event.
type removal int

const (
	removedByCount removal = iota
	removedByBytes
	removedByAge
)

// newMemlog returns an empty in-memory log that begins after lowWatermark.
func newMemlog(keep Retention, lowWatermark uint64) *memlog {
	l := &memlog{
		keep:         keep,
		visits:       maxVisits,
		topics:       newTopicTree(keep.GapTopics, lowWatermark),
		latest:       make(map[conflationKey]*Event),
		lastSeq:      lowWatermark,
		lowWatermark: lowWatermark,
	}
	l.removedTo.Store(lowWatermark)
	return l
}

// add adds the next event of the log. The caller must call trim after one or more calls.
func (l *memlog) add(e *Event) {
	e.removedTo = &l.removedTo
	l.lastSeq = e.ID.Seq
	l.setTimes(e)
	l.events.push(e)
	l.bytes += e.size()
	l.topics.push(e)
	if e.Key != "" {
		key := conflationKey{e.Topic, e.Key}
		if older := l.latest[key]; older != nil {
			older.superseded = true
		}
		l.latest[key] = e
	}
}

// setTimes sets maxTime and ageTime, which never decrease.
func (l *memlog) setTimes(e *Event) {
	at := e.Time.UnixNano()
	l.maxTime = max(l.maxTime, at)
	// If another server's clock is ahead, its events must not make other events expire early, and must not be
	// kept too long themselves.
	switch {
	case e.ageTime != 0:
		l.clockRead = e.ageTime
	case at > l.clockRead:
		l.clockRead = time.Now().UnixNano()
	}
	l.ageTime = max(l.ageTime, min(at, l.clockRead))
	e.maxTime, e.ageTime = l.maxTime, l.ageTime
}

// trim removes at most maxRemovals events that exceed the limits. It reports whether the log is then
// within its limits.
func (l *memlog) trim(now time.Time) (done bool) {
	horizon := now.Add(-l.keep.Age).UnixNano()
	for removed := 0; !done && removed < maxRemovals; removed++ {
		why, due := l.nextRemoval(horizon)
		if due {
			l.remove(why)
		}
		done = !due
	}
	return done
}

// nextRemoval reports whether the oldest event must be removed, and for which reason. Events with
// an ageTime before horizon are too old.
func (l *memlog) nextRemoval(horizon int64) (why removal, due bool) {
	switch {
	case l.events.len() == 0:
		return 0, false
	case l.events.at(0).ageTime < horizon:
		return removedByAge, true
	case l.events.len() == 1:
		return 0, false
	case l.events.len() > l.keep.Events:
		return removedByCount, true
	default:
		return removedByBytes, l.size() > l.keep.Bytes
	}
}

// clear removes at most maxRemovals events, and reports whether the log is then empty.
func (l *memlog) clear() (done bool) {
	for range maxRemovals {
		if l.events.len() == 0 {
			return true
		}
		l.drop()
	}
	return l.events.len() == 0
}

// restartAfter makes the empty log begin after a deleted range.
func (l *memlog) restartAfter(deletedRange *Event) {
	if l.onRemoved != nil {
		l.onRemoved(l.lastSeq, deletedRange)
	}
	l.lastSeq, l.lowWatermark = deletedRange.ID.Seq, deletedRange.ID.Seq
	l.topics.forgotten = lossMark{seq: deletedRange.ID.Seq}
}

func (l *memlog) remove(why removal) {
	if l.drop().Erases == 0 {
		l.removed[why]++
	}
}

// drop removes and returns the oldest event. It also drops the event's attachment.
func (l *memlog) drop() *Event {
	e := l.events.pop()
	if e.Erases != 0 {
		l.topics.popErased(e.Topic)
		l.placeholders--
	} else {
		l.topics.pop(e)
	}
	if e.Key != "" {
		key := conflationKey{e.Topic, e.Key}
		if l.latest[key] == e {
			delete(l.latest, key)
		}
	}
	l.bytes -= e.size()
	if l.onRemoved != nil {
		l.onRemoved(l.lowWatermark, e)
	}
	l.lowWatermark = e.ID.Seq
	// If Attach is called at the same time, either this function finds the attachment, or Attach finds the new value
	// of removedTo. Most events have no attachment. Such an event is not changed, because it is probably no longer in
	// a CPU cache, and a write would load it.
	l.removedTo.Store(e.ID.Seq)
	if e.attachment.Load() != nil {
		e.dropAttachment()
	}
	return e
}

// latestSize is the memory of one entry of latest in bytes.
const latestSize = 88

// size returns the bytes that count toward Retention.Bytes. A topic or key counts once, regardless of
// the number of its events. Topics that have only a recorded loss are not included; Retention.GapTopics
// limits them.
func (l *memlog) size() int64 {
	return l.bytes + l.topics.topicBytes + int64(len(l.latest))*latestSize
}

// nextExpiry returns the time until the oldest event expires. ok is false if there is no event.
func (l *memlog) nextExpiry() (left time.Duration, ok bool) {
	if l.events.len() == 0 {
		return 0, false
	}
	return time.Until(time.Unix(0, l.events.at(0).ageTime).Add(l.keep.Age)), true
}

// event returns the retained event with the given seq, or nil if there is none.
func (l *memlog) event(seq uint64) *Event {
	if i := l.find(seq); i >= 0 {
		return l.events.at(i)
	}
	return nil
}

// find returns the index of the retained event with the given seq, or -1 if there is none or it was
// erased.
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

// erase replaces a retained event with a placeholder and returns the event, or nil if the event is not
// retained. The placeholder has no data. It has the event's topic, because it also replaces the event
// in the log of the topic. When retention removes the placeholder, that is not counted as a loss. An
// older event with the same conflation key stays superseded.
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
	e.dropAttachment()
	return e
}
