package connection

import (
	"container/heap"
	"sync"
	"sync/atomic"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/internal/wire"
)

// DefaultEncodingBytes is the default limit for the encodings that are attached to events of the
// in-memory log, in bytes.
const DefaultEncodingBytes = 8 << 20

// maxEvictions is the maximum number of events whose encodings one call of makeRoom evicts. It limits how
// long retainedEncodings.mu is held.
const maxEvictions = 256

// Sizes of the structs, which count toward the limit in addition to the encoded bytes.
const (
	eventEncodingsSize = 96 // size of an eventEncodings, in bytes
	encodingSize       = 48 // size of an encoding, in bytes
)

// retainedEncodings limits the memory of the encodings that are attached to events of the in-memory
// log. If the limit is reached, the encoding of an event evicts encodings of older events, but never of
// newer events. Therefore a replay of old events does not evict the encodings that live subscribers
// share.
//
// No other lock is taken with mu held.
type retainedEncodings struct {
	limit int64 // static

	mu    sync.Mutex
	bytes int64 // size of all encodings and their structs
	// An event that is newer than all events in the list ascending is added to the end of that list. This
	// is the usual case and takes constant time. Other events are added to the heap late.
	ascending encodingList
	late      encodingHeap
}

// eventEncodings holds the encodings of an event, and is attached to the event. Readers need no
// lock, because eviction only detaches an eventEncodings from its event, and does not change it.
type eventEncodings struct {
	hub.Attachment
	budget *retainedEncodings // static
	event  *hub.Event         // static

	first []byte                   // the first encoding; static
	more  atomic.Pointer[encoding] // further encodings, which are rare; written with budget.mu held

	// guarded by budget.mu

	older, newer *eventEncodings // in budget.ascending
	index        int32           // index in budget.late; notLate: the event is in budget.ascending
	counted      bool            // whether the event is in budget.late or budget.ascending

	form wire.Form // wire format of first; static
}

// notLate is the value of eventEncodings.index for an event that is not in retainedEncodings.late.
const notLate = -1

// encoding is an event in one wire format. It is an element of a linked list.
type encoding struct {
	bytes []byte
	form  wire.Form
	next  *encoding
}

// Encoded returns the event in format f. It encodes the event on first use, and keeps the result while
// the event is in the in-memory log. If the limit leaves no room for the result, each call encodes the
// event again. Concurrent first calls may all encode; one result is kept. The caller must not change
// the bytes.
func (s *EncodingCache) Encoded(e *hub.Event, f Format) []byte {
	form := f.Form()
	kept, _ := e.Attached().(*eventEncodings)
	if b, ok := kept.find(form); ok {
		return b
	}
	b := f.Encode(e)
	switch {
	case !e.Retained():
		return b
	case kept != nil: // kept may belong to the cache of another registry of the same hub
		return kept.budget.store(e, form, b)
	default:
		return s.retained.store(e, form, b)
	}
}

// find returns the encoding in the given wire format. x may be nil.
func (x *eventEncodings) find(form wire.Form) (b []byte, ok bool) {
	switch {
	case x == nil:
		return nil, false
	case x.form == form:
		return x.first, true
	}
	for at := x.more.Load(); at != nil; at = at.next {
		if at.form == form {
			return at.bytes, true
		}
	}
	return nil, false
}

// size returns the memory of x that counts toward the limit, in bytes.
func (x *eventEncodings) size() int64 {
	n := int64(len(x.first)) + eventEncodingsSize
	for at := x.more.Load(); at != nil; at = at.next {
		n += int64(len(at.bytes)) + encodingSize
	}
	return n
}

// store attaches the encoding b to the event if the limit has room for it. It returns b, or the
// encoding that another goroutine has attached in the meantime.
func (r *retainedEncodings) store(e *hub.Event, form wire.Form, b []byte) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	x, _ := e.Attached().(*eventEncodings)
	if found, ok := x.find(form); ok {
		return found
	}
	switch size := int64(len(b)) + encodingSize; {
	case x == nil:
		r.attach(&eventEncodings{budget: r, event: e, first: b, form: form})
	case x.budget == r && r.makeRoom(e.ID.Seq, size):
		x.more.Store(&encoding{bytes: b, form: form, next: x.more.Load()})
		r.bytes += size
	}
	return b
}

// attach attaches x to its event if the limit has room for it, unless the event has left the in-memory
// log or already has an attachment of another registry. mu must be held, so that a concurrent call of
// Discard waits until x is in its list.
func (r *retainedEncodings) attach(x *eventEncodings) {
	x.Owner = x
	if !x.event.Attach(&x.Attachment) {
		return
	}
	size := x.size()
	if !r.makeRoom(x.event.ID.Seq, size) {
		x.event.Detach(&x.Attachment)
		return
	}
	x.counted = true
	r.bytes += size
	if newest := r.ascending.newest; newest == nil || newest.event.ID.Seq < x.event.ID.Seq {
		x.index = notLate
		r.ascending.push(x)
	} else {
		heap.Push(&r.late, x)
	}
}

// Discard implements hub.Owner. The hub calls it when the event has left the in-memory log.
func (x *eventEncodings) Discard() {
	x.budget.mu.Lock()
	defer x.budget.mu.Unlock()
	x.budget.remove(x)
}

// makeRoom evicts encodings of events older than seq until the limit has room for n more bytes. It
// returns false if this is impossible or would take more than maxEvictions evictions. mu must be held.
func (r *retainedEncodings) makeRoom(seq uint64, n int64) bool {
	if n > r.limit {
		return false
	}
	for evicted := 0; r.bytes+n > r.limit; evicted++ {
		oldest := r.oldest()
		if oldest == nil || oldest.event.ID.Seq >= seq || evicted == maxEvictions {
			return false
		}
		oldest.event.Detach(&oldest.Attachment)
		r.remove(oldest)
	}
	return true
}

// oldest returns the encodings of the oldest event that has encodings, or nil. mu must be held.
func (r *retainedEncodings) oldest() *eventEncodings {
	oldest := r.ascending.oldest
	if len(r.late) > 0 && (oldest == nil || r.late[0].event.ID.Seq < oldest.event.ID.Seq) {
		return r.late[0]
	}
	return oldest
}

// remove removes x from its list, and subtracts its size from r.bytes. mu must be held.
func (r *retainedEncodings) remove(x *eventEncodings) {
	switch {
	case !x.counted:
		return
	case x.index == notLate:
		r.ascending.remove(x)
	default:
		if heap.Remove(&r.late, int(x.index)); len(r.late) == 0 {
			r.late = nil // free the memory after a replay
		}
	}
	x.counted = false
	r.bytes -= x.size()
}

// encodingList is a linked list of eventEncodings, ordered from the oldest to the newest event.
type encodingList struct{ oldest, newest *eventEncodings }

// push adds x, which must be newer than all elements.
func (l *encodingList) push(x *eventEncodings) {
	x.older = l.newest
	if l.newest == nil {
		l.oldest = x
	} else {
		l.newest.newer = x
	}
	l.newest = x
}

func (l *encodingList) remove(x *eventEncodings) {
	if x.older == nil {
		l.oldest = x.newer
	} else {
		x.older.newer = x.newer
	}
	if x.newer == nil {
		l.newest = x.older
	} else {
		x.newer.older = x.older
	}
	x.older, x.newer = nil, nil
}

// encodingHeap implements heap.Interface. The first element belongs to the oldest event.
type encodingHeap []*eventEncodings

func (h encodingHeap) Len() int           { return len(h) }
func (h encodingHeap) Less(i, j int) bool { return h[i].event.ID.Seq < h[j].event.ID.Seq }
func (h encodingHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = int32(i), int32(j)
}

// Push implements heap.Interface.
func (h *encodingHeap) Push(x any) {
	added := x.(*eventEncodings)
	added.index = int32(len(*h))
	*h = append(*h, added)
}

// Pop implements heap.Interface.
func (h *encodingHeap) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return x
}
