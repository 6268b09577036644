package hub

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// A subscriber that reads forward through a log with high latency waits only for a few reads. The
// chunks that are read ahead for it stay within the limit.
func TestReplayOfDistantLogReadsAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const chunks, delay = 60, 200 * time.Millisecond
		h, l := startLog(t, chunks*chunkEvents, 10)
		synctest.Wait()
		l.withLock(func() { l.readTime, l.remote, l.reads = delay, true, 0 })
		begin, n := time.Now(), 0
		for s := subscribeToLog(t, h, ">", after(0)); !s.Reached(chunks * chunkEvents); {
			n += len(s.next(t).Events)
			h.replay.mu.Lock()
			require.LessOrEqual(t, len(h.replay.chunks), maxChunks)
			h.replay.mu.Unlock()
		}
		require.Equal(t, chunks*chunkEvents, n)
		// The reads fetch 1, 2, 4, and then always 8 chunks. The remaining reads maintain the loss
		// index.
		require.LessOrEqual(t, time.Since(begin), (3+(chunks-7)/maxReadAhead+2)*delay)
		l.withLock(func() { require.LessOrEqual(t, l.reads, 2*(3+(chunks-7)/maxReadAhead+2)) })
	})
}

// Cached chunks are evicted to make room for chunks that are being read. If subscribers read at
// several positions of the log, each read fetches fewer chunks.
func TestReadsShareTheChunkLimit(t *testing.T) {
	rr := newReplayReader(&sliceLog{}, 10)
	const far = 1 << 20
	at, total := uint64(0), 0
	for range 6 {
		q := chunkQuery{seq: at, until: far}
		depth, n := rr.makeRoom(q)
		require.LessOrEqual(t, len(rr.chunks)+n, maxChunks)
		elements := make([]*Event, n*chunkEvents)
		for i := range elements {
			elements[i] = &Event{ID: Cursor{1, at + uint64(i) + 1}, Topic: "a"}
		}
		rr.release(n)
		for _, c := range splitChunks(at, elements, depth, false) {
			rr.addChunk(c)
		}
		at, total = at+uint64(len(elements)), total+n
	}
	require.Equal(t, 1+2+4+3*maxReadAhead, total)
	for i := range uint64(maxReadAhead) {
		rr.enqueue(chunkQuery{seq: far + i*chunkEvents, until: 2 * far, sub: new(subscriber)})
	}
	_, n := rr.makeRoom(chunkQuery{seq: at, until: far})
	rr.release(n)
	require.Equal(t, 1, n)
	_, n = rr.makeRoom(chunkQuery{seq: at, until: at + 1})
	require.Equal(t, 1, n, "a read fetches no more chunks than needed")
}
