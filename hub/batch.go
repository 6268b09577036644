package hub

// Batch is what a feed offers its subscribers at once. It is the worker's: a Sink must not keep
// it, nor bytes of Join, after Ready returns.
type Batch struct {
	// All events of the feed in (From, To] are Events, in order.
	From, To uint64
	Events   []*Event

	group     *group
	coalesced []coalescedWrite // of this round; the buffers are kept from round to round
}

// coalescedWrite is a range of the round's events in one form, made contiguous so that it is one write.
type coalescedWrite struct {
	format     WireFormat
	start, end int
	bytes      []byte
	buffer     []byte // the memory of bytes, where it is several events
}

// maxCoalescedBytes bounds the bytes of one join of several events.
const maxCoalescedBytes = 64 << 10

func (b *Batch) fill(g *group, from, to uint64, events []*Event) {
	clear(b.Events)
	b.group, b.From, b.To, b.Events = g, from, to, append(b.Events[:0], events...)
	b.coalesced = b.coalesced[:0]
}

// Coalesce gives the bytes of the events from start on, in a form, as many as go into 64 KiB but one
// at least, and the index after the last. Who asks for the same gets the same bytes: they are
// joined once for all who stand at one place.
func (b *Batch) Coalesce(format WireFormat, encode func(*Event) []byte, start int) (joined []byte, end int) {
	for i := range b.coalesced {
		if j := &b.coalesced[i]; j.format == format && j.start == start {
			return j.bytes, j.end
		}
	}
	if len(b.coalesced) == maxCoalescedWrites {
		return b.Events[start].Encoded(format, encode), start + 1
	}
	j := b.addCoalesced()
	j.format, j.start, j.end = format, start, start+1
	j.bytes = b.Events[start].Encoded(format, encode)
	if j.end == len(b.Events) || len(j.bytes) >= maxCoalescedBytes {
		return j.bytes, j.end
	}
	j.buffer = append(j.buffer[:0], j.bytes...)
	for ; j.end < len(b.Events); j.end++ {
		piece := b.Events[j.end].Encoded(format, encode)
		if len(j.buffer)+len(piece) > maxCoalescedBytes {
			break
		}
		j.buffer = append(j.buffer, piece...)
	}
	j.bytes = j.buffer
	return j.bytes, j.end
}

// addCoalesced takes up the buffer of an earlier round where there is one.
func (b *Batch) addCoalesced() *coalescedWrite {
	if n := len(b.coalesced); n < cap(b.coalesced) {
		b.coalesced = b.coalesced[:n+1]
	} else {
		b.coalesced = append(b.coalesced, coalescedWrite{})
	}
	return &b.coalesced[len(b.coalesced)-1]
}

// maxCoalescedWrites bounds the joins of a round, and so the memory of a worker: 2 MiB. Who stands at yet
// another place takes one event at a time.
const maxCoalescedWrites = 32

// dropEvents lets go of the events, so that an idle worker pins none.
func (b *Batch) dropEvents() {
	clear(b.Events)
	b.group, b.Events = nil, b.Events[:0]
	for i := range b.coalesced {
		b.coalesced[i].bytes = nil
	}
}
