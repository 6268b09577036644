package hub

import (
	"cmp"
	"slices"
)

// Limits of the pending events of a group. If a limit is exceeded, the group reads its next events from
// the in-memory log.
const (
	maxPendingEvents = 1024
	maxPendingBytes  = 1 << 20
)

// group is a subscription group: all subscriptions with the same filter set. It keeps the matching events that were not
// in a batch yet. Earlier events are in the in-memory log. Guarded by Hub.mu.
type group struct {
	set          FilterSet
	number       uint32   // number of the group in the index; the index owns this field and the next two
	anchors      []anchor // anchors of its filters
	visitedRound uint64   // the newest value of index.searchRound for which a search found the group

	subs   []*subscriber
	shards *shards // nil: all subscribers are in one shard, whose position is the field from

	// last is the seq of the newest matching event, or the hub's last seq when the group was created. A
	// subscription at this position or later has nothing to read.
	last uint64
	// rangeEnd is the end of the newest deleted range. Subscriptions with a position of at least beforeRange and
	// less than rangeEnd had read all matching events when the range was added. Both are zero if there was no
	// range.
	beforeRange, rangeEnd uint64

	from         uint64   // the next batch begins after this seq
	pending      []*Event // matching events after from, in order
	pendingBytes int64
	overflow     bool // pending lacks the newest matching events
	queued       bool // in the fan-out queue
	offering     bool // without shards: a worker is offering a batch to the subscribers
}

// subscriber is the part of a subscription that its group, the replay reader and the locator use.
type subscriber struct {
	sink Sink  // static
	slot int32 // index in group.subs; guarded by Hub.mu
}

// push adds the newest event. It has no effect if the event was added before.
func (g *group) push(e *Event) {
	g.last = e.ID.Seq
	n := len(g.pending)
	switch {
	case n > 0 && g.pending[n-1] == e:
	case g.overflow:
	case n > 0 && (n == maxPendingEvents || g.pendingBytes+e.size() > maxPendingBytes):
		g.overflow = true
	default:
		g.pending = append(g.pending, e)
		g.pendingBytes += e.size()
	}
}

// skipDeletedRange drops the pending events, which are before a deleted range that ends at seq. The next batch begins
// after the range. Subscriptions with a position before the range find it when they read.
func (g *group) skipDeletedRange(seq uint64) {
	if g.last > g.rangeEnd { // otherwise the new range directly follows the previous one
		g.beforeRange = g.last
	}
	g.rangeEnd, g.last = seq, seq
	clear(g.pending)
	g.pending, g.pendingBytes, g.overflow = g.pending[:0], 0, true
}

// hadReadAll reports whether a subscription at seq had read all matching events when the newest deleted range was
// added.
func (g *group) hadReadAll(seq uint64, l *memlog) bool {
	before, end := g.beforeRange, g.rangeEnd
	if l.adding.deletedTo > g.last { // skipDeletedRange has not been called yet
		if g.last > g.rangeEnd {
			before = g.last
		}
		end = l.adding.deletedTo
	}
	return before <= seq && seq < end
}

// nextBatch fills b with the events that were not in a batch yet, and reports whether there are
// any.
func (g *group) nextBatch(b *Batch, l *memlog) bool {
	to, fellBehind := l.lastSeq, false
	if l.adding.running && g.last <= l.adding.lastSeqBefore { // the element that is being added may not have reached this group yet
		to = max(l.adding.lastSeqBefore, g.from)
	}
	if g.overflow && len(g.pending) == 0 {
		to, fellBehind = g.refill(l)
	} else if g.overflow {
		to = g.pending[len(g.pending)-1].ID.Seq
	}
	if len(g.pending) == 0 && !g.overflow && !fellBehind {
		g.from = to
		return false
	}
	b.fill(g, g.from, to, g.pending)
	g.from, g.pendingBytes = to, 0
	clear(g.pending)
	g.pending = g.pending[:0]
	if cap(g.pending) > 16 && len(b.Events) < cap(g.pending)/4 {
		g.pending = nil // free the memory after a burst
	}
	return true
}

// refill reads pending events from the in-memory log, and returns the position up to which it has read. If retention
// has removed events after g.from, fellBehind is true and the batch begins after them. Subscriptions at a position
// before the batch then call Read, which reports the gap.
func (g *group) refill(l *memlog) (to uint64, fellBehind bool) {
	fellBehind = g.from < l.lowWatermark
	g.from = max(g.from, l.lowWatermark)
	g.pending, to = l.read(g.pending, g.set, g.from, ReadLimit{maxPendingEvents, maxPendingBytes}, false, new(bool))
	g.overflow = to < l.lastSeq
	return to, fellBehind
}

// attach adds a subscriber. It divides the group into shards when the number of subscribers first exceeds
// shardSize.
func (g *group) attach(s *subscriber, shardSize int) {
	s.slot = int32(len(g.subs))
	g.subs = append(g.subs, s)
	if g.shards == nil && len(g.subs) > shardSize {
		g.shards = newShards(g, shardSize)
	}
	if g.shards != nil {
		g.shards.grow(len(g.subs), g.from)
	}
}

// detach removes a subscriber. The subscriber in the last slot moves to the free slot, which may be in
// another shard. If its new shard is ahead of its previous one, the position of the new shard moves back to
// that of the previous one. The other subscribers of the new shard skip the events that they have already
// received. detach reports whether a shard has moved back; the caller must then queue the group.
func (g *group) detach(s *subscriber) (movedBack bool) {
	last := int32(len(g.subs) - 1)
	g.subs[s.slot] = g.subs[last]
	g.subs[s.slot].slot = s.slot
	g.subs[last] = nil
	g.subs = g.subs[:last]
	if g.shards != nil {
		at, other := g.shards.of(s.slot), g.shards.of(last)
		movedBack = at.from > other.from
		at.from = min(at.from, other.from)
		g.shards.shrink(len(g.subs))
	}
	return movedBack
}

// erase removes an event from the pending events, and releases the newest shared batch if it contains
// the event.
func (g *group) erase(e *Event) {
	i, found := slices.BinarySearchFunc(g.pending, e.ID.Seq, func(p *Event, seq uint64) int { return cmp.Compare(p.ID.Seq, seq) })
	if found {
		g.pending = slices.Delete(g.pending, i, i+1)
		g.pendingBytes -= e.size()
	}
	if g.shards != nil && g.shards.newest != nil && slices.Contains(g.shards.newest.batch.Events, e) {
		g.shards.drop()
	}
}
