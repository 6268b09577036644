package hub

import (
	"cmp"
	"time"
)

// Retention bounds what the window keeps. Whichever limit is reached first lets the oldest
// events go; but for its age the newest event is always kept.
type Retention struct {
	Events int           // 0: DefaultRetainEvents
	Bytes  int64         // seven eighths for events, one for their encodings; 0: DefaultRetainBytes
	Age    time.Duration // 0: DefaultRetainAge
	// GapTopics is how many topics are remembered from which events were let go, so that gaps
	// are told exactly; fewer where they are of so many tokens of their own that the tree of topics
	// reaches its bound. 0: DefaultGapTopics.
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

// maxRemovals bounds the events that one call of trim or clear removes, and so how long Hub.mu is held.
const maxRemovals = 64

// memlog is the retained end of the log: by seq and by topic, with what it has let go. It is
// guarded by Hub.mu, but for the encodings of its events.
type memlog struct {
	keep         Retention // static
	visits       int       // static; maxLooks
	events       deque[*Event]
	topics       topicTree
	latest       map[conflationKey]*Event // the newest retained of each topic and key
	cache        encodingCache
	bytes        int64  // of the events, see Event.size
	lastSeq      uint64 // seq of the newest event ever
	lowWatermark uint64 // seq of the newest event let go: what follows it is all here

	// adding: an element of the log is being added. Feeds whose last is past settled, where head was before,
	// have it; the others may yet get it.
	adding        bool
	lastSeqBefore uint64
	deletedTo     uint64 // seq of the element if it is a hole that the window has gone over; else 0

	maxTime, maxAgeTime int64 // of the newest event ever
	clockRead           int64 // this machine's clock when it was read last
	// hasEarlierEvents: an event before floor may have a later time than those of the window.
	hasEarlierEvents bool

	removed      [3]uint64 // events let go, by removal
	placeholders int       // placeholders among events, of those that were erased
	// onRemoved, if not nil, is told of each event that is let go and of each hole, in order; before is
	// the seq of the one before it.
	onRemoved func(before uint64, e *Event)
}

// conflationKey is what conflation goes by.
type conflationKey struct{ topic, key string }

// removal is why an event was let go.
type removal int

const (
	removedByCount removal = iota
	removedByBytes
	removedByAge
)

// newMemlog begins after floor, the last seq of which nothing is known.
func newMemlog(keep Retention, floor uint64) *memlog {
	return &memlog{
		keep:         keep,
		visits:       maxVisits,
		topics:       newTopicTree(keep.GapTopics, floor),
		latest:       make(map[conflationKey]*Event),
		cache:        encodingCache{limit: keep.Bytes / encodingShare, floor: floor},
		lastSeq:      floor,
		lowWatermark: floor,
	}
}

// add takes the next event of the log. Trim when a batch is in.
func (l *memlog) add(e *Event) {
	e.cache = &l.cache
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

// setTimes sets the times of an event that never fall.
func (l *memlog) setTimes(e *Event) {
	at := e.Time.UnixNano()
	l.maxTime = max(l.maxTime, at)
	// The time of a server whose clock is ahead must neither make the others' events old nor keep them.
	if at > l.clockRead {
		l.clockRead = time.Now().UnixNano()
	}
	l.maxAgeTime = max(l.maxAgeTime, min(at, l.clockRead))
	e.maxTime, e.ageTime = l.maxTime, l.maxAgeTime
}

// trim removes events that the limits don't allow, at most maxRemovals of them, and reports whether none
// is left to remove.
func (l *memlog) trim(now time.Time) (done bool) {
	defer func() { l.cache.release(l.lowWatermark) }()
	horizon := now.Add(-l.keep.Age)
	for range maxRemovals {
		why, due := l.nextRemoval(horizon)
		if !due {
			return true
		}
		l.remove(why)
	}
	return false
}

// nextRemoval reports whether the oldest event must go, and why.
func (l *memlog) nextRemoval(horizon time.Time) (why removal, due bool) {
	switch {
	case l.events.len() == 0:
		return 0, false
	case time.Unix(0, l.events.at(0).ageTime).Before(horizon):
		return removedByAge, true
	case l.events.len() == 1:
		return 0, false
	case l.events.len() > l.keep.Events:
		return removedByCount, true
	default:
		return removedByBytes, l.size() > l.keep.Bytes-l.cache.limit
	}
}

// clear drops events, at most maxRemovals of them, and reports whether none is left.
func (l *memlog) clear() (done bool) {
	defer func() { l.cache.release(l.lowWatermark) }()
	for range maxRemovals {
		if l.events.len() == 0 {
			return true
		}
		l.drop()
	}
	return l.events.len() == 0
}

// restartAfter begins anew after a hole. The window has been cleared.
func (l *memlog) restartAfter(hole *Event) {
	if l.onRemoved != nil {
		l.onRemoved(l.lastSeq, hole)
	}
	l.lastSeq, l.lowWatermark = hole.ID.Seq, hole.ID.Seq
	l.topics.forgotten = lossMark{seq: hole.ID.Seq}
}

func (l *memlog) remove(why removal) {
	if l.drop().Erases == 0 {
		l.removed[why]++
	}
}

// drop lets the oldest go, and returns it. Its encodings go with encodingCache.release.
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
	return e
}

// latestSize is the memory of one element of latest in bytes, its part of the map included.
const latestSize = 88

// size returns what the window counts toward Retention.Bytes, without the encodings. What a topic or a key takes
// counts once however many events have it; topics that only have a loss are bounded by Retention.GapTopics.
func (l *memlog) size() int64 {
	return l.bytes + l.topics.topicBytes + int64(len(l.latest))*latestSize
}

// nextExpiry says how long the oldest event has left.
func (l *memlog) nextExpiry() (left time.Duration, any bool) {
	if l.events.len() == 0 {
		return 0, false
	}
	return time.Until(time.Unix(0, l.events.at(0).ageTime).Add(l.keep.Age)), true
}
