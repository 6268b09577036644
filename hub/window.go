package hub

import (
	"cmp"
	"slices"
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
const maxRemovals = 256

// maxScan bounds the events that one read looks at, and so how long it holds the lock.
const maxScan = 4096

// window is the retained end of the log: by seq and by topic, with what it has let go. It is
// guarded by Hub.mu, but for the encodings of its events.
type window struct {
	keep   Retention // static
	events deque[*Event]
	topics topicTree
	latest map[subject]*Event // the newest retained of each topic and key
	cache  encodingCache
	bytes  int64  // of the events, without their encodings
	head   uint64 // seq of the newest event ever
	floor  uint64 // seq of the newest event let go: what follows it is all here

	removed [3]uint64 // events let go, by removal
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
	case w.events.at(0).Time.Before(horizon):
		return removedByAge, true
	case w.events.len() == 1:
		return 0, false
	case w.events.len() > w.keep.Events:
		return removedByCount, true
	default:
		return removedByBytes, w.bytes > w.keep.Bytes-w.cache.limit
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
	w.drop()
	w.removed[why]++
}

// drop lets the oldest go. Its encodings go with encodingCache.release.
func (w *window) drop() {
	e := w.events.pop()
	w.topics.pop(e)
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
}

// after gives the index of the first event past seq.
func (w *window) after(seq uint64) int { return firstAfter(&w.events, seq) }

func firstAfter(d *deque[*Event], seq uint64) int {
	// Readers are mostly at the end, and seqs mostly follow each other without a hole.
	if n := d.len(); n > 0 {
		if newest := d.at(n - 1).ID.Seq; newest <= seq {
			return n
		} else if i := n - 1 - int(min(newest-seq, uint64(n))); i >= 0 && d.at(i).ID.Seq == seq {
			return i + 1
		}
	}
	return d.search(func(e *Event) bool { return e.ID.Seq > seq })
}

// ReadLimit bounds one read. An event over Bytes still comes, alone.
type ReadLimit struct {
	Events int
	Bytes  int // of data and what stands around it, about
}

// read appends the events of the set that follow seq, and says up to where it has looked:
// everything of the set up to reached is in dst. It must not be asked for what is below floor.
func (w *window) read(dst []*Event, set FilterSet, seq uint64, limit ReadLimit, conflate bool) (_ []*Event, reached uint64) {
	next := w.merge(set, seq)
	last, size := seq, 0
	for looked := 0; ; looked++ {
		e := next()
		switch {
		case e == nil:
			return dst, w.head
		case looked == maxScan:
			return dst, seq
		case conflate && e.superseded, !set.Match(e.Topic):
		case limit.Events == 0, size > 0 && size+int(e.size()) > limit.Bytes:
			return dst, last // more of the set wait
		default:
			dst = append(dst, e)
			last = e.ID.Seq
			limit.Events--
			size += int(e.size())
		}
		seq = e.ID.Seq
	}
}

// maxMerge is how many topics' events are merged for a read by wildcards; more are found by
// looking at every event.
const maxMerge = 64

// merge steps through events after seq among which all those of the set are: through its topics'
// own where they are few, so that a resume costs what was missed, else through all.
func (w *window) merge(set FilterSet, seq uint64) (next func() *Event) {
	logs, ok := w.topics.logs(set, seq, max(maxMerge, set.Len()))
	if !ok {
		return walk(&w.events, w.after(seq))
	}
	if len(logs) == 1 {
		return walk(logs[0], firstAfter(logs[0], seq))
	}
	places := make([]int, len(logs))
	for i, log := range logs {
		places[i] = firstAfter(log, seq)
	}
	return func() (first *Event) {
		from := -1
		for i, log := range logs {
			if places[i] < log.len() {
				if e := log.at(places[i]); first == nil || e.ID.Seq < first.ID.Seq {
					first, from = e, i
				}
			}
		}
		if first != nil {
			places[from]++
		}
		return first
	}
}

func walk(d *deque[*Event], i int) func() *Event {
	return func() *Event {
		if i >= d.len() {
			return nil
		}
		i++
		return d.at(i - 1)
	}
}

// beforeLast gives the position after which the newest n events of the set follow, and how many do.
func (w *window) beforeLast(set FilterSet, n int) (position uint64, found int) {
	position = w.head
	logs, ok := w.topics.logs(set, 0, max(maxMerge, set.Len()))
	if !ok {
		for i := w.events.len() - 1; i >= 0 && found < n; i-- {
			if e := w.events.at(i); set.Match(e.Topic) {
				position = e.ID.Seq - 1
				found++
			}
		}
		return position, found
	}
	var newest []uint64
	for _, log := range logs {
		for i := log.len() - 1; i >= max(0, log.len()-n); i-- {
			newest = append(newest, log.at(i).ID.Seq)
		}
	}
	if found = min(len(newest), n); found == 0 {
		return position, 0
	}
	slices.Sort(newest)
	return newest[len(newest)-found] - 1, found
}

// since gives the position after which the events accepted no earlier than t follow. Where some
// of the set were let go, it is a position before them, so that who resumes from it is told.
func (w *window) since(set FilterSet, t time.Time, conflate bool) uint64 {
	switch seq, certain, possible := w.topics.find(set, conflate, lateSince(t)); {
	case certain:
		return seq - 1
	case possible:
		return 0 // which is before all that is forgotten
	}
	if i := w.events.search(func(e *Event) bool { return !e.Time.Before(t) }); i < w.events.len() {
		return w.events.at(i).ID.Seq - 1
	}
	return w.head
}

// isBefore reports that events accepted no earlier than t may lie behind the window.
func (w *window) isBefore(t time.Time) bool {
	return w.floor > 0 && (w.events.len() == 0 || !w.events.at(0).Time.Before(t))
}

// lossesSince says whether events of the set accepted no earlier than t were let go.
func (w *window) lossesSince(set FilterSet, t time.Time, conflate bool) (certain, possible bool) {
	_, certain, possible = w.topics.find(set, conflate, lateSince(t))
	return certain, possible
}

func lateSince(t time.Time) func(mark) bool {
	return func(m mark) bool {
		return m.seq > 0 && (m.at == 0 || !time.Unix(0, m.at).Before(t)) // zero: not known when
	}
}

// losses says whether events of the set after seq were let go.
func (w *window) losses(set FilterSet, seq uint64, conflate bool) (certain, possible bool) {
	if seq >= w.floor {
		return false, false
	}
	_, certain, possible = w.topics.find(set, conflate, lateAfter(seq))
	return certain, possible
}

func lateAfter(seq uint64) func(mark) bool { return func(m mark) bool { return m.seq > seq } }

// nextExpiry says how long the oldest event has left.
func (w *window) nextExpiry() (left time.Duration, any bool) {
	if w.events.len() == 0 {
		return 0, false
	}
	return time.Until(w.events.at(0).Time.Add(w.keep.Age)), true
}
