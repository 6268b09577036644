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

// window is the retained end of the log: by seq and by topic, with what it has let go. It is
// guarded by Hub.mu, but for the encodings of its events.
type window struct {
	keep   Retention // static
	looks  int       // static; maxLooks
	events deque[*Event]
	topics topicTree
	latest map[subject]*Event // the newest retained of each topic and key
	cache  encodingCache
	bytes  int64  // of the events, see Event.size
	head   uint64 // seq of the newest event ever
	floor  uint64 // seq of the newest event let go: what follows it is all here

	// pushing: an element of the log is being added. Feeds whose last is past settled, where head was before,
	// have it; the others may yet get it.
	pushing bool
	settled uint64
	passing uint64 // seq of the element if it is a hole that the window has gone over; else 0

	order, taken int64 // of the newest event ever
	clockAt      int64 // this machine's clock when it was read last
	// early: an event before floor may have a later time than those of the window.
	early bool

	removed [3]uint64 // events let go, by removal
	erased  int       // placeholders among events, of those that were erased
	// passed, if not nil, is told of each event that is let go and of each hole, in order; before is
	// the seq of the one before it.
	passed func(before uint64, e *Event)
}

// subject is what conflation goes by.
type subject struct{ topic, key string }

// removal is why an event was let go.
type removal int

const (
	removedByCount removal = iota
	removedByBytes
	removedByAge
)

// newWindow begins after floor, the last seq of which nothing is known.
func newWindow(keep Retention, floor uint64) *window {
	return &window{
		keep:   keep,
		looks:  maxLooks,
		topics: newTopicTree(keep.GapTopics, floor),
		latest: make(map[subject]*Event),
		cache:  encodingCache{limit: keep.Bytes / encodingShare, floor: floor},
		head:   floor,
		floor:  floor,
	}
}

// add takes the next event of the log. Trim when a batch is in.
func (w *window) add(e *Event) {
	e.encodings = &w.cache
	w.head = e.ID.Seq
	w.clock(e)
	w.events.push(e)
	w.bytes += e.size()
	w.topics.push(e)
	if e.Key != "" {
		about := subject{e.Topic, e.Key}
		if older := w.latest[about]; older != nil {
			older.superseded = true
		}
		w.latest[about] = e
	}
}

// clock sets the times of an event that never fall.
func (w *window) clock(e *Event) {
	at := e.Time.UnixNano()
	w.order = max(w.order, at)
	// The time of a server whose clock is ahead must neither make the others' events old nor keep them.
	if at > w.clockAt {
		w.clockAt = time.Now().UnixNano()
	}
	w.taken = max(w.taken, min(at, w.clockAt))
	e.order, e.taken = w.order, w.taken
}

// trim removes events that the limits don't allow, at most maxRemovals of them, and reports whether none
// is left to remove.
func (w *window) trim(now time.Time) (done bool) {
	defer func() { w.cache.release(w.floor) }()
	horizon := now.Add(-w.keep.Age)
	for range maxRemovals {
		why, due := w.due(horizon)
		if !due {
			return true
		}
		w.remove(why)
	}
	return false
}

// due reports whether the oldest event must go, and why.
func (w *window) due(horizon time.Time) (why removal, due bool) {
	switch {
	case w.events.len() == 0:
		return 0, false
	case time.Unix(0, w.events.at(0).taken).Before(horizon):
		return removedByAge, true
	case w.events.len() == 1:
		return 0, false
	case w.events.len() > w.keep.Events:
		return removedByCount, true
	default:
		return removedByBytes, w.size() > w.keep.Bytes-w.cache.limit
	}
}

// clear drops events, at most maxRemovals of them, and reports whether none is left.
func (w *window) clear() (done bool) {
	defer func() { w.cache.release(w.floor) }()
	for range maxRemovals {
		if w.events.len() == 0 {
			return true
		}
		w.drop()
	}
	return w.events.len() == 0
}

// restart begins anew after a hole. The window has been cleared.
func (w *window) restart(hole *Event) {
	if w.passed != nil {
		w.passed(w.head, hole)
	}
	w.head, w.floor = hole.ID.Seq, hole.ID.Seq
	w.topics.forgotten = mark{seq: hole.ID.Seq}
}

func (w *window) remove(why removal) {
	if w.drop().Erases == 0 {
		w.removed[why]++
	}
}

// drop lets the oldest go, and returns it. Its encodings go with encodingCache.release.
func (w *window) drop() *Event {
	e := w.events.pop()
	if e.Erases != 0 {
		w.topics.popErased(e.Topic)
		w.erased--
	} else {
		w.topics.pop(e)
	}
	if e.Key != "" {
		about := subject{e.Topic, e.Key}
		if w.latest[about] == e {
			delete(w.latest, about)
		}
	}
	w.bytes -= e.size()
	if w.passed != nil {
		w.passed(w.floor, e)
	}
	w.floor = e.ID.Seq
	return e
}

// latestSize is the memory of one element of latest in bytes, its part of the map included.
const latestSize = 88

// size returns what the window counts toward Retention.Bytes, without the encodings. What a topic or a key takes
// counts once however many events have it; topics that only have a loss are bounded by Retention.GapTopics.
func (w *window) size() int64 {
	return w.bytes + w.topics.bytes + int64(len(w.latest))*latestSize
}

// nextExpiry says how long the oldest event has left.
func (w *window) nextExpiry() (left time.Duration, any bool) {
	if w.events.len() == 0 {
		return 0, false
	}
	return time.Until(time.Unix(0, w.events.at(0).taken).Add(w.keep.Age)), true
}
