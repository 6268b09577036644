package hub

import (
	"context"
	"sync/atomic"
	"time"
)

// maxAhead bounds the chunks of one read, so that a subscriber that goes forward has as many to read while the
// next are being read.
const maxAhead = maxChunks / 2

// AddWaiting notes that a read of a Log with this context has waited that long for another process. The hub
// rests between reads for as long as they have worked, and waiting is no work.
func AddWaiting(ctx context.Context, d time.Duration) {
	if w, ok := ctx.Value(waitingKey{}).(*waiting); ok {
		(*atomic.Int64)(w).Add(int64(d))
	}
}

// waiting is how long a read has waited, in nanoseconds.
type waiting atomic.Int64

type waitingKey struct{}

func (w *waiting) context(ctx context.Context) context.Context {
	return context.WithValue(ctx, waitingKey{}, w)
}

func (w *waiting) time() time.Duration { return time.Duration((*atomic.Int64)(w).Load()) }

// wantAhead has the chunks that follow c and those read with it be read before they are asked for, if subscribers
// have gone forward to c and are not there yet. Called with mu held.
func (a *archive) wantAhead(c *chunk, until uint64) {
	if c.depth == 0 || c.end >= until || a.has(c.end) {
		return
	}
	a.ahead = inquiry{kind: askChunk, seq: c.end, until: until}
	a.wake()
}

// takeAhead returns the inquiry that reads ahead, if there is one that is still of use. Called with mu held.
func (a *archive) takeAhead() (q inquiry, ok bool) {
	q, a.ahead = a.ahead, inquiry{}
	return q, q.until > 0 && !a.has(q.seq)
}

// has reports whether a chunk is kept that everybody who stands at seq can read. Called with mu held.
func (a *archive) has(seq uint64) bool {
	for i := range a.chunks {
		if c := &a.chunks[i]; !c.apart && c.from <= seq && seq < c.to {
			return true
		}
	}
	return false
}

// makeRoom returns how many chunks are read for an inquiry, and how many reads went forward to it. The number
// doubles with these reads. Chunks for other places share the room. It removes old chunks, so that there is room.
func (a *archive) makeRoom(q inquiry) (depth, n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	n = 1
	if q.kind == askChunk && q.stops == nil {
		places := 1
		for i := range a.chunks {
			switch c := &a.chunks[i]; {
			case c.apart:
			case c.to == q.seq:
				depth = c.depth + 1
			case c.to == c.end && !a.has(c.to):
				places++ // somebody may go on there
			}
		}
		places = max(places, min(len(a.asked), maxAhead))
		wanted := (q.until - min(q.until, q.seq) + chunkEvents - 1) / chunkEvents
		n = max(1, min(1<<min(depth, 10), maxAhead/places, int(min(wanted, maxAhead))))
	}
	a.trim(maxChunks-n, int64(maxChunks-n)*chunkBytes)
	return depth, n
}

// split makes chunks of the elements that were read after seq.
func split(seq uint64, elements []*Event, depth int, apart bool) (chunks []chunk) {
	now := time.Now()
	for len(elements) > 0 {
		c := chunk{from: seq, read: now, depth: depth, apart: apart, end: elements[len(elements)-1].ID.Seq}
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
	newer := make(map[subject]bool)
	for i := len(c.elements) - 1; i >= 0; i-- {
		if e := c.elements[i]; e.Key != "" {
			about := subject{e.Topic, e.Key}
			e.superseded = newer[about]
			newer[about] = true
		}
	}
}
