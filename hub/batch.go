package hub

import "slices"

// Batch is a sequence of events that a group offers to its subscribers. It belongs to one fan-out worker,
// even if other workers offer the same events to other shards of the group. After Ready has returned, a Sink
// must not use the batch. It may still use bytes that Coalesce returned for a single event, but not for
// several events.
type Batch struct {
	// Events are all events in (From, To] that match the group's filters, in order.
	From, To uint64
	Events   []*Event

	group     *group
	shared    *sharedBatch     // makes the coalesced writes; nil: the batch is offered to a single shard
	coalesced []coalescedWrite // buffers are reused by later batches
}

// coalescedWrite is a range of the batch's events in one encoding, joined so that one write sends them.
type coalescedWrite struct {
	encoding   int
	start, end int
	bytes      []byte
	buffer     []byte // memory of the field bytes; not used for a single event
}

// maxCoalescedBytes limits the size of one coalesced write of several events.
const maxCoalescedBytes = 64 << 10

func (b *Batch) fill(g *group, from, to uint64, events []*Event) {
	clear(b.Events)
	b.group, b.shared, b.From, b.To, b.Events = g, nil, from, to, append(b.Events[:0], events...)
	b.coalesced = b.coalesced[:0]
}

// eventBytes returns how much memory the events take, in bytes; see Event.size.
func (b *Batch) eventBytes() (n int64) {
	for _, e := range b.Events {
		n += e.size()
	}
	return n
}

// Coalesce encodes the events from index start on: as many as fit in 64 KiB, but at least one. It
// returns their joined bytes, and the index after the last of them. encoding is a number that the
// transports have chosen for the function encode. Calls with the same encoding and start return the
// same bytes, so that subscribers at the same position share them. The bytes of a single event are the
// result of encode. The bytes of several events are in a buffer that a later batch overwrites.
func (b *Batch) Coalesce(encoding int, encode func(*Event) []byte, start int) (joined []byte, end int) {
	for i := range b.coalesced {
		if j := &b.coalesced[i]; j.encoding == encoding && j.start == start {
			return j.bytes, j.end
		}
	}
	if len(b.coalesced) == maxCoalescedWrites {
		return encode(b.Events[start]), start + 1
	}
	j := b.addCoalesced()
	if b.shared != nil {
		j.encoding, j.start = encoding, start
		j.bytes, j.end = b.shared.coalesce(encoding, encode, start)
		return j.bytes, j.end
	}
	j.encoding, j.start, j.end = encoding, start, start+1
	j.bytes = encode(b.Events[start])
	for ; j.end < len(b.Events) && len(j.bytes) < maxCoalescedBytes; j.end++ {
		piece := encode(b.Events[j.end])
		if len(j.bytes)+len(piece) > maxCoalescedBytes {
			break
		}
		if j.end == start+1 { // the buffer is used only for several events
			j.buffer = slices.Grow(j.buffer[:0], min(maxCoalescedBytes, (len(b.Events)-start)*len(j.bytes)))
			j.buffer = append(j.buffer, j.bytes...)
		}
		j.buffer = append(j.buffer, piece...)
		j.bytes = j.buffer
	}
	return j.bytes, j.end
}

// addCoalesced appends a coalesced write. It reuses the buffer of an earlier batch if possible.
func (b *Batch) addCoalesced() *coalescedWrite {
	if n := len(b.coalesced); n < cap(b.coalesced) {
		b.coalesced = b.coalesced[:n+1]
	} else {
		b.coalesced = append(b.coalesced, coalescedWrite{})
	}
	return &b.coalesced[len(b.coalesced)-1]
}

// maxCoalescedWrites is the maximum number of coalesced writes of a batch. It limits the memory of a worker to 2 MiB.
// When it is reached, Coalesce returns single events.
const maxCoalescedWrites = 32

// dropEvents clears all fields but shared, so that an idle worker keeps no events in memory.
func (b *Batch) dropEvents() {
	clear(b.Events)
	b.group, b.Events = nil, b.Events[:0]
	for i := range b.coalesced {
		b.coalesced[i].bytes = nil
	}
}
