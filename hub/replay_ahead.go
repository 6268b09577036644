package hub

import "time"

// maxReadAhead limits the chunks of one read to half of the cache. A subscriber can then read one
// half of the cache while the other half is being filled.
const maxReadAhead = maxChunks / 2

// planReadAhead schedules a read of the chunks after c, if subscribers have read forward to c and will
// continue. The chunks are then read before a subscriber requests them. mu must be held.
func (rr *replayReader) planReadAhead(c *chunk, until uint64) {
	if c.depth == 0 || c.readEnd >= until || rr.hasChunk(c.readEnd) {
		return
	}
	rr.readAhead = chunkQuery{seq: c.readEnd, until: until}
	rr.wake()
}

// takeReadAhead returns the scheduled query, if its chunk is not cached yet. mu must be held.
func (rr *replayReader) takeReadAhead() (q chunkQuery, ok bool) {
	q, rr.readAhead = rr.readAhead, chunkQuery{}
	return q, q.until > 0 && !rr.hasChunk(q.seq)
}

// hasChunk reports whether a chunk with the element after seq is cached. It ignores partial chunks, which not every
// subscription can read. mu must be held.
func (rr *replayReader) hasChunk(seq uint64) bool {
	for i := range rr.chunks {
		if c := &rr.chunks[i]; !c.partial() && c.from <= seq && seq < c.to {
			return true
		}
	}
	return false
}

// partial reports whether the chunk may lack elements of the log in (from, to].
func (c *chunk) partial() bool { return c.sparse || c.set.Len() > 0 }

// makeRoom returns the number n of chunks to read for a query, and depth, the number of consecutive forward
// reads before this one. n doubles with depth, up to a limit, which is lower if subscribers read at several
// positions. makeRoom removes old chunks to make room for n chunks, and reserves that room.
func (rr *replayReader) makeRoom(q chunkQuery) (depth, n int) {
	rr.mu.Lock()
	defer rr.mu.Unlock()
	n = 1
	if q.seqs == nil {
		places := 1
		for i := range rr.chunks {
			switch c := &rr.chunks[i]; {
			case c.partial():
			case c.to == q.seq:
				depth = c.depth + 1
			case c.to == c.readEnd && !rr.hasChunk(c.to):
				places++ // a subscriber may continue there
			}
		}
		places = max(places, min(rr.queue.len(), maxReadAhead))
		wanted := (q.until - min(q.until, q.seq) + chunkEvents - 1) / chunkEvents
		n = max(1, min(1<<min(depth, 10), maxReadAhead/places, int(min(wanted, maxReadAhead))))
	}
	rr.reserve(n)
	return depth, n
}

// reserve makes room for n chunks that are being read. mu must be held.
func (rr *replayReader) reserve(n int) {
	rr.reserved += n
	room := maxChunks - rr.reserved
	rr.trimChunks(room, int64(room)*chunkBytes)
}

// release returns reserved room after a read has failed.
func (rr *replayReader) release(n int) {
	rr.mu.Lock()
	defer rr.mu.Unlock()
	rr.reserved -= n
}

// splitChunks divides the elements that were read after seq into chunks.
func splitChunks(seq uint64, elements []*Event, depth int, sparse bool) (chunks []chunk) {
	now := time.Now()
	for len(elements) > 0 {
		c := chunk{from: seq, readAt: now, depth: depth, sparse: sparse, readEnd: elements[len(elements)-1].ID.Seq}
		n := 0
		for n < len(elements) && (n == 0 || sparse || n < chunkEvents && c.size+elements[n].size() <= chunkBytes) {
			c.size += elements[n].size()
			n++
		}
		c.elements, elements = elements[:n:n], elements[n:]
		c.to = c.elements[n-1].ID.Seq
		c.markSuperseded()
		chunks = append(chunks, c)
		seq = c.to
	}
	return chunks
}

// markSuperseded marks the events for which the chunk has a newer event with the same topic and key.
func (c *chunk) markSuperseded() {
	newer := make(map[conflationKey]bool)
	for i := len(c.elements) - 1; i >= 0; i-- {
		if e := c.elements[i]; e.Key != "" {
			key := conflationKey{e.Topic, e.Key}
			e.superseded = newer[key]
			newer[key] = true
		}
	}
}
