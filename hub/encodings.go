package hub

import (
	"container/heap"
	"slices"
	"sync"
	"sync/atomic"
)

// encodingShare is the divisor for the encodings' part of Retention.Bytes. The rest is for the events.
const encodingShare = 8

// maxEvictions is the maximum number of events that one call of makeRoom evicts. It limits how long
// the cache is locked.
const maxEvictions = 256

// encodingCache limits the memory of the cached encodings of the in-memory log's events. The limit is separate from
// that of the events: caching never removes an event. Encodings of newer events evict those of older events, but
// not vice versa. So a replay of old events does not evict the encodings that live subscribers share.
//
// Its lock is taken after Hub.mu, or without Hub.mu.
type encodingCache struct {
	limit int64        // bytes; static
	bytes atomic.Int64 // of all cached encodings; written with mu held

	mu           sync.Mutex
	lowWatermark uint64 // events up to this seq have left the log and are not cached
	// Events with cached encodings, the oldest first. An event is added to ascending if it is newer than all events
	// there. This is the usual case and costs O(1). Other events are added to late.
	ascending deque[*Event]
	late      eventHeap
}

// store caches the encoding b if there is room for it. It returns b, or the encoding that another caller has cached
// meanwhile.
func (c *encodingCache) store(e *Event, format WireFormat, b []byte) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if kept := e.encodingIn(format); kept != nil {
		return kept.bytes
	}
	if e.uncacheable || e.ID.Seq <= c.lowWatermark || !c.makeRoom(e.ID.Seq, int64(len(b))) {
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

// makeRoom evicts encodings of events older than seq until n more bytes fit in the budget. It reports whether they
// fit. mu must be held.
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

// oldest returns the oldest event with a cached encoding, or nil. mu must be held.
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

// evictOldest removes the encodings of the event that oldest returns. mu must be held.
func (c *encodingCache) evictOldest() {
	e := c.oldest()
	if len(c.late) > 0 && c.late[0] == e {
		if heap.Pop(&c.late); len(c.late) == 0 {
			c.late = nil // free the memory after a replay
		}
	} else {
		c.ascending.pop()
	}
	e.cached = false
	c.bytes.Add(-e.dropEncodings())
}

// release removes the encodings of events up to seq, which have left the log. A reader may still encode such an
// event, but that encoding is not cached.
func (c *encodingCache) release(seq uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lowWatermark = max(c.lowWatermark, seq)
	for e := c.oldest(); e != nil && e.ID.Seq <= c.lowWatermark; e = c.oldest() {
		c.evictOldest()
	}
}

// erase removes the encodings of an event and marks the event, so that later encodings are not cached. The
// placeholder replaces the event in the lists, so that they do not keep its data in memory.
func (c *encodingCache) erase(e, placeholder *Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e.uncacheable = true
	c.bytes.Add(-e.dropEncodings())
	if !e.cached {
		return
	}
	placeholder.cached = true
	if i := c.ascending.search(func(other *Event) bool { return other.ID.Seq >= e.ID.Seq }); i < c.ascending.len() && c.ascending.at(i) == e {
		c.ascending.set(i, placeholder)
	} else if i := slices.Index(c.late, e); i >= 0 {
		c.late[i] = placeholder
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
