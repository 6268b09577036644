package hub

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// logEngine is an engine with a log in memory, of which a test takes away what it likes.
type logEngine struct {
	mu      sync.Mutex
	log     sliceLog
	deliver func([]*Event)
	away    error         // of reading
	reads   int           // of ReadAfter
	takes   time.Duration // by each
	remote  bool          // and they wait for another process

	timeless bool          // SeqAt fails
	ahead    time.Duration // of the engine's clock
}

func (l *logEngine) Start(deliver func([]*Event)) (Cursor, error) {
	l.deliver = deliver
	return Cursor{1, 0}, nil
}

func (l *logEngine) Publish(_ context.Context, events []*Event) (Cursor, error) {
	l.mu.Lock()
	for _, e := range events {
		e.ID, e.Time = Cursor{1, uint64(len(l.log.events)) + 1}, time.Now().Add(l.ahead)
		l.log.events = append(l.log.events, e)
	}
	l.mu.Unlock()
	l.deliver(events)
	return events[len(events)-1].ID, nil
}

// Erase implements Eraser.
func (l *logEngine) Erase(_ context.Context, seq uint64) (at uint64, err error) {
	l.mu.Lock()
	erasure, err := l.log.erase(seq)
	l.mu.Unlock()
	if err != nil {
		return 0, err
	}
	l.deliver([]*Event{{ID: erasure.ID, Erases: seq}})
	return erasure.ID.Seq, nil
}

func (l *logEngine) Close() error { return nil }

func (l *logEngine) LastSeq(ctx context.Context) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.log.LastSeq(ctx)
}

func (l *logEngine) Count(ctx context.Context, set FilterSet, enough int) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, err := l.log.Count(ctx, set, enough)
	if l.away != nil {
		err = l.away
	}
	return n, err
}

func (l *logEngine) SeqAt(ctx context.Context, t time.Time) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.timeless {
		return 0, ErrUnavailable
	}
	return l.log.SeqAt(ctx, t)
}

func (l *logEngine) ReadAfter(ctx context.Context, seq uint64, limit ReadLimit) ([]*Event, error) {
	var takes time.Duration
	l.change(func() {
		if takes = l.takes; l.remote {
			AddWaitTime(ctx, takes)
		}
	})
	time.Sleep(takes)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reads++
	if l.away != nil {
		return nil, l.away
	}
	return l.log.ReadAfter(ctx, seq, limit)
}

// change has the test look at the log, or change it.
func (l *logEngine) change(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
}

// startLog starts a hub before a log of n events, of topics t.0 to t.9 in turn, with a window of the
// newest of them.
func startLog(t *testing.T, n, window int) (*Hub, *logEngine) {
	t.Helper()
	l := &logEngine{}
	h, err := New(Config{Engine: l, Retention: Retention{Events: window}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, h.Close()) })
	for i := range n {
		_, err := h.Publish(t.Context(), &Event{Topic: fmt.Sprint("t.", i%10), Data: []byte("1")})
		require.NoError(t, err)
	}
	return h, l
}

// behind is a subscription, read as a connection reads.
type behind struct {
	*Subscription
	bell Wakeup
}

func subscribeBehind(t *testing.T, h *Hub, filter string, start Start) *behind {
	t.Helper()
	b := &behind{bell: NewWakeup()}
	var err error
	b.Subscription, err = h.Subscribe(Request{Filters: setOf(filter), Start: start}, b.bell)
	require.NoError(t, err)
	t.Cleanup(b.Close)
	return b
}

// next reads until there is something, or all was read.
func (b *behind) next(t *testing.T) ReadResult {
	t.Helper()
	for {
		batch := b.Read(ReadLimit{1000, 1 << 20})
		if batch.Gap != nil || len(batch.Events) > 0 || !batch.More && !batch.Waiting {
			return batch
		}
		if batch.Waiting {
			select {
			case <-b.bell:
			case <-time.After(time.Minute):
				require.FailNow(t, "nothing comes")
			}
		}
	}
}

func after(seq uint64) Start { return Start{Cursor: &Cursor{1, seq}} }

// TestArchiveForgets: who has gone is not kept, though the log be away.
func TestArchiveForgets(t *testing.T) {
	h, l := startLog(t, 100, 10)
	l.change(func() { l.away, l.timeless = ErrUnavailable, true })
	for i := range 100 {
		s := subscribeBehind(t, h, "t.1", []Start{after(uint64(i % 50)), {Last: 20}, {Since: time.Unix(1, 0)}}[i%3])
		require.True(t, s.Read(ReadLimit{1, 1}).Waiting)
		s.Close()
	}
	h.replay.mu.Lock()
	defer h.replay.mu.Unlock()
	requireNoneWaits(t, h.replay)
	require.Empty(t, h.replay.results)
}

// TestArchivePasses: what the log cannot answer does not keep others from their answers.
func TestArchivePasses(t *testing.T) {
	h, l := startLog(t, 100, 10)
	l.change(func() { l.timeless = true })
	stuck := subscribeBehind(t, h, "t.1", Start{Since: time.Unix(1, 0)})
	require.True(t, stuck.Read(ReadLimit{1, 1}).Waiting)
	s := subscribeBehind(t, h, "t.1", after(5))
	require.Len(t, s.next(t).Events, 9)
}

// TestTraceReadsLittle: of a topic that the log does not have, or the window has whole, the log is not
// read; and of others it is read once.
func TestTraceReadsLittle(t *testing.T) {
	h, l := startLog(t, 20_000, 10)
	_, err := h.Publish(t.Context(), &Event{Topic: "new", Data: []byte("1")})
	require.NoError(t, err)
	require.Eventually(t, func() bool { return !h.replay.updateLossIndex(t.Context(), h.lowWatermark(), 20_001) }, time.Minute, 1)
	var before int
	l.change(func() { before = l.reads })
	require.Empty(t, subscribeBehind(t, h, "none", Start{Last: 9}).next(t).Events)
	require.Len(t, subscribeBehind(t, h, "new", Start{Last: 9}).next(t).Events, 1)
	l.change(func() {
		require.LessOrEqual(t, l.reads, before+2, "the watch of the tail may have looked again")
		l.log.events[0].Topic, l.log.events[700].Topic = "old", "old"
		before = l.reads
	})
	s := subscribeBehind(t, h, "old", Start{Last: 9})
	require.Len(t, append(s.next(t).Events, s.next(t).Events...), 2)
	require.Empty(t, s.next(t).Events)
	l.change(func() { require.LessOrEqual(t, l.reads, before+40+4, "back, and nothing twice but what was found") })
}

// TestChunksEnd: what was read of the log is not kept for long, nor is more of it than is said.
func TestChunksEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, l := startLog(t, 100, 10)
		require.Len(t, subscribeBehind(t, h, ">", after(0)).next(t).Events, 100)
		l.change(func() { l.log.gone = 60 })
		time.Sleep(chunkLife + 2*lossInterval)
		again := subscribeBehind(t, h, ">", after(0)).next(t)
		require.NotNil(t, again.Gap)
		require.Equal(t, uint64(61), again.Events[0].ID.Seq)
		time.Sleep(chunkLife + 2*lossInterval)
		h.replay.mu.Lock()
		defer h.replay.mu.Unlock()
		require.Empty(t, h.replay.chunks)
		for i := range uint64(3 * maxChunks) {
			size := 1
			if i > 2*maxChunks {
				size = 3 * chunkBytes
			}
			h.replay.addChunk(splitChunks(i, []*Event{{ID: Cursor{1, i + 1}, Data: make([]byte, size)}}, 0, false)[0])
			kept := int64(0)
			for _, c := range h.replay.chunks {
				kept += c.size
			}
			require.LessOrEqual(t, kept, int64(maxChunks*chunkBytes))
			require.LessOrEqual(t, len(h.replay.chunks), maxChunks)
			require.Equal(t, i, h.replay.chunks[len(h.replay.chunks)-1].from)
		}
	})
}

// TestSweep: those who are behind at many places come on together, so that the log is not read for each of
// them, and who is nearly there need not wait for the others.
func TestSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const chunks, readers = 60, 40
		h, l := startLog(t, chunks*chunkEvents, 10)
		synctest.Wait()
		l.change(func() { l.takes = time.Millisecond }) // those who read are faster
		var running sync.WaitGroup
		follow := func(seq uint64, then func()) {
			s := subscribeBehind(t, h, ">", after(seq))
			running.Go(func() {
				for n := uint64(chunks * chunkEvents); !s.Reached(n); s.next(t) {
				}
				then()
			})
		}
		for i := range uint64(readers) {
			follow(i*(chunks-3)*chunkEvents/readers, func() {})
		}
		early := 0
		follow((chunks-2)*chunkEvents-100, func() { l.change(func() { early = l.reads }) })
		running.Wait()
		t.Logf("%d reads in all, %d until the first was there", l.reads, early)
		require.Less(t, early, 20)
		require.Less(t, l.reads, 4*chunks)
	})
}

// TestLogGrowsFaster: of a log that grows faster than it is read all who are behind come on, not only who is
// ahead of the others.
func TestLogGrowsFaster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, l := startLog(t, 30*chunkEvents, 10)
		synctest.Wait()
		l.change(func() { l.takes = time.Millisecond })
		end := time.Now().Add(300 * time.Millisecond)
		var running sync.WaitGroup
		running.Go(func() {
			for ; time.Now().Before(end); time.Sleep(time.Millisecond) {
				events := make([]*Event, 2*chunkEvents)
				for i := range events {
					events[i] = &Event{Topic: "t.0", Data: []byte("1")}
				}
				_, err := h.Publish(t.Context(), events...)
				require.NoError(t, err)
			}
		})
		var came [3]uint64
		for i := range came {
			begin := uint64((2 - i) * 10 * chunkEvents)
			time.Sleep(20 * time.Millisecond) // the others are on their way
			s := subscribeBehind(t, h, ">", after(begin))
			running.Go(func() {
				for time.Now().Before(end) && !t.Failed() {
					s.next(t)
				}
				came[i] = s.Position().Seq - begin
			})
		}
		running.Wait()
		t.Logf("events read by each: %v, %d reads in all", came, l.reads)
		for _, n := range came {
			require.Greater(t, n, uint64(5*chunkEvents))
		}
	})
}
