package hub

import (
	"container/heap"
	"sync"
	"sync/atomic"
)

// encodingShare is the part of Retention.Bytes that encodings have, as a divisor. Events have the rest.
const encodingShare = 8

// maxEvictions bounds the events whose encodings are evicted to make room for one encoding, and so how
// long the cache is locked.
const maxEvictions = 256

// encodingCache holds the encodings of the events of one in-memory log to a budget in bytes. The budget
// is the encodings' own: however much is read, no event is removed for it. Encodings of newer events
// evict those of older ones and never the other way round, so that a replay of old events leaves the
// encodings alone that the next round of live subscribers shares.
//
// Its lock is taken after Hub.mu, and also without it.
type encodingCache struct {
	limit int64        // bytes; static
	bytes atomic.Int64 // of all encodings that are kept; written with mu held

	mu    sync.Mutex
	floor uint64 // events up to this seq have left the log and keep nothing
	// The events that keep an encoding are in one of these, the oldest first: in ascending when the
	// event was newer than all others there at its first encoding, which costs O(1) and is the usual
	// case, else in late.
	ascending deque[*Event]
	late      eventHeap
}

// store stores the encoding in the event's slot if there is room for it, and returns the bytes to use:
// those of another caller who was faster, or b.
func (c *encodingCache) store(e *Event, format WireFormat, b []byte) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if kept := e.encodingIn(format); kept != nil {
		return kept.bytes
	}
	if e.uncacheable || e.ID.Seq <= c.floor || !c.makeRoom(e.ID.Seq, int64(len(b))) {
		return b
	}
	e.encodings.Store(&encoding{bytes: b, format: format, next: e.encodings.Load()})
	c.bytes.Add(int64(len(b)))
	if e.cached {
		return b
	}
	e.cached = true
	if n := c.ascending.len(); n == 0 || c.ascending.at(n-1).ID.Seq < e.ID.Seq {
		c.ascending.push(e)
	} else {
		heap.Push(&c.late, e)
	}
	return b
}

// makeRoom evicts encodings of events older than seq until n bytes more are within the budget, and
// reports whether they are. Called with mu held.
func (c *encodingCache) makeRoom(seq uint64, n int64) bool {
	if n > c.limit {
		return false
	}
	for evicted := 0; c.bytes.Load()+n > c.limit; evicted++ {
		if oldest := c.oldest(); oldest == nil || oldest.ID.Seq >= seq || evicted == maxEvictions {
			return false
		}
		c.evictOldest()
	}
	return true
}

// oldest returns the oldest event that keeps an encoding, nil if none does. Called with mu held.
func (c *encodingCache) oldest() *Event {
	switch {
	case c.ascending.len() == 0 && len(c.late) == 0:
		return nil
	case len(c.late) == 0 || c.ascending.len() > 0 && c.ascending.at(0).ID.Seq < c.late[0].ID.Seq:
		return c.ascending.at(0)
	default:
		return c.late[0]
	}
}

// evictOldest drops the encodings of the event that oldest returns. Called with mu held.
func (c *encodingCache) evictOldest() {
	e := c.oldest()
	if len(c.late) > 0 && c.late[0] == e {
		if heap.Pop(&c.late); len(c.late) == 0 {
			c.late = nil // a replay is over
		}
	} else {
		c.ascending.pop()
	}
	e.cached = false
	c.bytes.Add(-e.dropEncodings())
}

// release drops the encodings of events up to seq, which have left the log. A reader may still hold such
// an event and encode it; that encoding is not kept.
func (c *encodingCache) release(seq uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.floor = max(c.floor, seq)
	for e := c.oldest(); e != nil && e.ID.Seq <= c.floor; e = c.oldest() {
		c.evictOldest()
	}
}

// eventHeap implements heap.Interface, the lowest seq first.
type eventHeap []*Event

func (h eventHeap) Len() int           { return len(h) }
func (h eventHeap) Less(i, j int) bool { return h[i].ID.Seq < h[j].ID.Seq }
func (h eventHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push implements heap.Interface.
func (h *eventHeap) Push(e any) { *h = append(*h, e.(*Event)) }

// Pop implements heap.Interface.
func (h *eventHeap) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return e
}
