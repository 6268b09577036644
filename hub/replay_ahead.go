package hub

import (
	"context"
	"sync/atomic"
	"time"
)

// maxReadAhead bounds the chunks of one read, so that a subscriber that goes forward has as many to read while the
// next are being read.
const maxReadAhead = maxChunks / 2

// AddWaitTime notes that a read of a Log with this context has waited that long for another process. The hub
// rests between reads for as long as they have worked, and waiting is no work.
func AddWaitTime(ctx context.Context, d time.Duration) {
	if w, ok := ctx.Value(waitTimeKey{}).(*waitTime); ok {
		(*atomic.Int64)(w).Add(int64(d))
	}
}

// waitTime is how long a read has waited, in nanoseconds.
type waitTime atomic.Int64

type waitTimeKey struct{}

func (w *waitTime) withContext(ctx context.Context) context.Context {
	return context.WithValue(ctx, waitTimeKey{}, w)
}

func (w *waitTime) total() time.Duration { return time.Duration((*atomic.Int64)(w).Load()) }

// planReadAhead has the chunks that follow c and those read with it be read before they are asked for, if subscribers
// have gone forward to c and are not there yet. Called with mu held.
func (rr *replayReader) planReadAhead(c *chunk, until uint64) {
	if c.depth == 0 || c.readEnd >= until || rr.hasChunk(c.readEnd) {
		return
	}
	rr.readAhead = logQuery{kind: queryChunk, seq: c.readEnd, until: until}
	rr.wake()
}

// takeReadAhead returns the inquiry that reads ahead, if there is one that is still of use. Called with mu held.
func (rr *replayReader) takeReadAhead() (q logQuery, ok bool) {
	q, rr.readAhead = rr.readAhead, logQuery{}
	return q, q.until > 0 && !rr.hasChunk(q.seq)
}

// hasChunk reports whether a chunk is kept that everybody who stands at seq can read. Called with mu held.
func (rr *replayReader) hasChunk(seq uint64) bool {
	for i := range rr.chunks {
		if c := &rr.chunks[i]; !c.sparse && c.from <= seq && seq < c.to {
			return true
		}
	}
	return false
}

// makeRoom returns how many chunks are read for an inquiry, and how many reads went forward to it. The number
// doubles with these reads. Chunks for other places share the room. It removes old chunks, so that there is room.
func (rr *replayReader) makeRoom(q logQuery) (depth, n int) {
	rr.mu.Lock()
	defer rr.mu.Unlock()
	n = 1
	if q.kind == queryChunk && q.seqs == nil {
		places := 1
		for i := range rr.chunks {
			switch c := &rr.chunks[i]; {
			case c.sparse:
			case c.to == q.seq:
				depth = c.depth + 1
			case c.to == c.readEnd && !rr.hasChunk(c.to):
				places++ // somebody may go on there
			}
		}
		places = max(places, min(len(rr.queuedBy), maxReadAhead))
		wanted := (q.until - min(q.until, q.seq) + chunkEvents - 1) / chunkEvents
		n = max(1, min(1<<min(depth, 10), maxReadAhead/places, int(min(wanted, maxReadAhead))))
	}
	rr.trimChunks(maxChunks-n, int64(maxChunks-n)*chunkBytes)
	return depth, n
}

// splitChunks makes chunks of the elements that were read after seq.
func splitChunks(seq uint64, elements []*Event, depth int, apart bool) (chunks []chunk) {
	now := time.Now()
	for len(elements) > 0 {
		c := chunk{from: seq, readAt: now, depth: depth, sparse: apart, readEnd: elements[len(elements)-1].ID.Seq}
		n := 0
		for n < len(elements) && (n == 0 || apart || n < chunkEvents && c.size+elements[n].size() <= chunkBytes) {
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

// markSuperseded notes which events of the chunk have a newer one of their topic and key in it.
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
