package hub

import (
	"sync"
	"sync/atomic"
)

// maxShardSize is the largest number of subscribers in one shard of a group. A worker takes a few hundred microseconds
// to write an event to that many connections, so the cost of taking a shard from the queue is negligible.
const maxShardSize = 256

// shards divides the subscribers of a large group into parts, so that several workers offer a batch at the same time.
// The subscriber with slot i is in shard i/size. Each shard has its own position, so that a slow worker delays only one
// shard. A shard is offered one batch at a time. Guarded by Hub.mu.
type shards struct {
	size int // subscribers in a shard; static
	all  []shard
	next int // index of the shard at which the next search for a waiting shard begins: shards take turns
	// newest is the newest batch of the group while a shard needs it. A shard that is further behind reads the
	// in-memory log instead. A group therefore keeps one batch in memory, regardless of its slowest shard.
	newest *sharedBatch
}

// shard is a part of the subscribers of a group, which share a position.
type shard struct {
	// from is the seq up to which all events have been, or are being, offered to the subscribers. It is at most
	// group.from.
	from     uint64
	offering bool // a worker is offering a batch to the subscribers
}

// newShards returns the shards for a group that had none.
func newShards(g *group, size int) *shards {
	return &shards{size: size, all: []shard{{from: g.from, offering: g.offering}}}
}

// of returns the shard of the subscriber in the given slot.
func (s *shards) of(slot int32) *shard { return &s.all[int(slot)/s.size] }

// grow adds shards until there are enough for n subscribers. A new shard starts at the given position.
func (s *shards) grow(n int, from uint64) {
	for len(s.all)*s.size < n {
		s.all = append(s.all, shard{from: from})
	}
}

// shrink removes the shards that n subscribers do not need, beginning with the last one. It stops at a
// shard to which a worker is offering a batch.
func (s *shards) shrink(n int) {
	last := len(s.all)
	for last > 1 && (last-1)*s.size >= n && !s.all[last-1].offering {
		last--
	}
	if s.all = s.all[:last]; cap(s.all) > 4*last {
		s.all = append(make([]shard, 0, 2*last), s.all...)
	}
	s.dropUnneeded()
}

// waiting returns the index of the next shard that waits for a batch, or -1 if there is none. last is the seq of the newest
// matching event.
func (s *shards) waiting(last uint64) int {
	for n := range s.all {
		i := (s.next + n) % len(s.all)
		if at := &s.all[i]; !at.offering && at.from < last {
			return i
		}
	}
	return -1
}

// keep makes b the newest batch.
func (s *shards) keep(b *sharedBatch) {
	s.drop()
	s.newest = b
	b.users++
}

// drop releases the newest batch. A shard to which the batch was not yet offered reads the events from
// the in-memory log instead.
func (s *shards) drop() {
	if s.newest != nil {
		s.newest.release()
		s.newest = nil
	}
}

// dropUnneeded releases the newest batch if no shard is before its end.
func (s *shards) dropUnneeded() {
	if s.newest == nil {
		return
	}
	for i := range s.all {
		if s.all[i].from < s.newest.batch.To {
			return
		}
	}
	s.drop()
}

// sharedBatch is a batch that is offered to several shards, by several workers at the same time. Each worker has its
// own Batch with the same events, so that it needs no lock for bytes that it has used before.
type sharedBatch struct {
	after  uint64       // only shards at this position or later use the batch; below batch.From if the group fell behind
	memory *batchMemory // static
	users  int          // number of users: the group while it keeps the batch, and each worker that offers it; guarded by Hub.mu

	mu      sync.Mutex // held by coalesce, for the fields below
	batch   Batch      // all fields except the coalesced writes are static
	counted int64      // number of bytes by which this batch has increased memory.bytes
}

// maxSharedBytes limits the memory of all shared batches: their events, which retention may have removed, and their
// coalesced writes. Above the limit, each worker makes its own batches and coalesced writes, as for small groups.
const maxSharedBytes = 16 << 20

// batchMemory counts the memory of shared batches, and the latency of batches.
type batchMemory struct {
	bytes   atomic.Int64
	clock   latencyClock
	latency latencies // guarded by Hub.mu
}

// reserve adds n bytes to the total. If the total would exceed maxSharedBytes, it adds nothing and returns
// false.
func (m *batchMemory) reserve(n int64) bool {
	if m.bytes.Add(n) <= maxSharedBytes {
		return true
	}
	m.bytes.Add(-n)
	return false
}

// observe counts the latency of a batch. oldest is the ageTime of its first event. offered is a reading of
// the clock, made after the batch was offered to all its subscribers. Hub.mu must be held.
func (m *batchMemory) observe(oldest, offered int64) {
	m.latency.observe(m.clock.since(oldest, offered))
}

// release must be called when the group or a worker no longer uses the batch. The last call counts the
// latency. Hub.mu must be held.
func (b *sharedBatch) release() {
	if b.users--; b.users > 0 {
		return
	}
	b.memory.bytes.Add(-b.counted)
	if len(b.batch.Events) > 0 {
		b.memory.observe(b.batch.Events[0].ageTime, b.memory.clock.read())
	}
}

// coalesce does the work of Batch.Coalesce once for all workers. The first caller encodes the events. Other
// callers wait until it has finished, and get the same bytes.
func (b *sharedBatch) coalesce(encoding int, encode func(*Event) []byte, start int) (joined []byte, end int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := len(b.batch.coalesced)
	joined, end = b.batch.Coalesce(encoding, encode, start)
	if len(b.batch.coalesced) == n {
		return joined, end
	}
	if size := int64(len(joined)); b.memory.reserve(size) {
		b.counted += size
	} else {
		b.batch.coalesced[n] = coalescedWrite{} // only the caller keeps the bytes
		b.batch.coalesced = b.batch.coalesced[:n]
	}
	return joined, end
}

// offer is a batch that a worker offers to a shard, or to a whole group that has no shards. A worker has one offer, whose
// memory it reuses.
type offer struct {
	memory *batchMemory // static
	batch  Batch
	subs   []*subscriber
	shard  int // index in shards.all; 0 if the group has no shards

	// Set by toSubscribers, for a batch that is not shared.

	oldest  int64 // ageTime of the first event; 0: the batch has no events
	offered int64 // the clock's reading when the batch had been offered
}

// toSubscribers offers the batch to its subscribers. Then it clears the batch except for the field shared, so that an
// idle worker keeps no events in memory.
func (o *offer) toSubscribers() {
	b := &o.batch // outside the loop, which is 3 % faster
	for _, s := range o.subs {
		s.sink.Ready(b)
	}
	o.oldest = 0
	if b.shared == nil && len(b.Events) > 0 {
		o.oldest, o.offered = b.Events[0].ageTime, o.memory.clock.read()
	}
	clear(o.subs)
	o.subs = o.subs[:0]
	b.dropEvents()
}

// waits reports whether the group has a batch that a worker can offer now.
func (g *group) waits() bool {
	if g.shards == nil {
		return !g.offering && (len(g.pending) > 0 || g.overflow)
	}
	return g.shards.waiting(g.last) >= 0
}

// nextOffer fills o with the next batch and the subscribers of a shard, and reports whether there is anything to offer. If
// so, the caller must call finishOffer.
func (g *group) nextOffer(o *offer, l *memlog) bool {
	if g.shards == nil {
		if g.offering || !g.nextBatch(&o.batch, l) {
			return false
		}
		g.offering, o.shard, o.subs = true, 0, append(o.subs, g.subs...)
		return true
	}
	s := g.shards
	i := s.waiting(g.last)
	if i < 0 {
		return false
	}
	at := &s.all[i]
	s.next = i + 1
	if !g.nextShardBatch(o, at, l) {
		return false
	}
	at.offering, o.shard = true, i
	o.subs = append(o.subs, g.subs[min(i*s.size, len(g.subs)):min((i+1)*s.size, len(g.subs))]...)
	s.dropUnneeded()
	return true
}

// nextShardBatch fills o.batch with the next batch of a shard, and moves the position of the shard to the end of the batch.
// It reports whether there is anything to offer.
func (g *group) nextShardBatch(o *offer, at *shard, l *memlog) bool {
	newest := g.shards.newest
	switch {
	case newest != nil && newest.after <= at.from && at.from < newest.batch.To:
		at.from = newest.batch.To
	case at.from < g.from:
		return g.rereadBatch(&o.batch, at, l)
	default:
		newest = &sharedBatch{after: g.from, memory: o.memory}
		ok := g.nextBatch(&newest.batch, l)
		at.from = g.from
		if !ok {
			return false
		}
		size := newest.batch.eventBytes()
		if !o.memory.reserve(size) {
			g.shards.drop()
			o.batch.fill(g, newest.batch.From, newest.batch.To, newest.batch.Events)
			return true
		}
		newest.counted = size
		g.shards.keep(newest)
	}
	newest.users++
	o.batch.fill(g, newest.batch.From, newest.batch.To, newest.batch.Events)
	o.batch.shared = newest
	return true
}

// rereadBatch fills b from the in-memory log with events of earlier batches that were not offered to
// the shard. As in refill, subscriptions at positions before b.From call Read, which reports the gap.
func (g *group) rereadBatch(b *Batch, at *shard, l *memlog) bool {
	fellBehind := at.from < l.lowWatermark
	from := max(at.from, l.lowWatermark)
	events, to := []*Event(nil), from
	if from < g.from {
		events, to = l.read(nil, g.set, from, ReadLimit{maxPendingEvents, maxPendingBytes}, false, new(bool))
		for to = min(to, g.from); len(events) > 0 && events[len(events)-1].ID.Seq > to; {
			events = events[:len(events)-1]
		}
	}
	at.from = min(to, g.from)
	b.fill(g, from, to, events)
	return len(events) > 0 || fellBehind
}

// finishOffer ends an offer after its batch has been offered to all its subscribers.
func (g *group) finishOffer(o *offer) {
	if g.shards == nil {
		g.offering = false
	} else {
		g.shards.all[o.shard].offering = false
		g.shards.shrink(len(g.subs))
	}
	switch shared := o.batch.shared; {
	case shared != nil:
		o.batch.shared = nil
		shared.release()
	case o.oldest != 0:
		o.memory.observe(o.oldest, o.offered)
	}
}
