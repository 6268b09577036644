package hub

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func requireNoneWaits(t *testing.T, rr *replayReader) {
	t.Helper()
	w := &rr.queue
	require.Zero(t, w.len())
	require.Zero(t, w.oldest.Len())
	require.Empty(t, w.chunks)
	require.Zero(t, w.oldestMatching.Len())
	require.Empty(t, w.matching)
	require.Empty(t, rr.slowMatches)
}

// countingSink counts how often its subscription is woken.
type countingSink struct{ woken int }

func (s *countingSink) Ready(*Batch) { s.woken++ }

// waitingReaders returns a replay reader of a log with n events, and n subscriptions that wait for
// chunks. Subscription i waits for the chunk after seq i.
func waitingReaders(n int) (*replayReader, []*subscriber) {
	log := &sliceLog{}
	for i := range uint64(n) {
		log.events = append(log.events, &Event{ID: Cursor{1, i + 1}, Topic: "a", Data: []byte("1")})
	}
	rr := newReplayReader(log, 10)
	subs := make([]*subscriber, n)
	for i := range subs {
		subs[i] = &subscriber{sink: new(countingSink)}
		rr.enqueue(chunkQuery{seq: uint64(i), until: uint64(n), sub: subs[i]})
	}
	return rr, subs
}

// TestReplayLockHoldsAreBounded counts the queries that are visited before the lock is released, while
// 10,000 queries wait.
func TestReplayLockHoldsAreBounded(t *testing.T) {
	const n, searches = 10_000, 4 * 15 // a binary search among 10,000 elements takes 14 steps
	rr, subs := waitingReaders(n)
	holds, most := 0, 0
	hold := func() {
		holds, most = holds+1, max(most, rr.queue.visited)
		rr.queue.visited = 0
	}
	rr.queue.visited = 0
	rr.yielded = hold

	for range 8 {
		_, ok := rr.nextQuery()
		require.True(t, ok)
		hold()
	}
	require.LessOrEqual(t, most, searches)
	rr.postpone(subs[5])
	rr.dropQuery(subs[5])
	hold()
	require.LessOrEqual(t, most, searches)

	holds = 0
	require.NoError(t, rr.readChunks(t.Context(), chunkQuery{seq: 0, until: n}))
	require.LessOrEqual(t, most, maxResolved+searches)
	require.Equal(t, chunkEvents/maxResolved, holds)
	for i, s := range subs {
		want := 0
		if i < chunkEvents && i != 5 {
			want = 1
		}
		require.Equal(t, want, s.sink.(*countingSink).woken, "%d", i)
	}
}

// TestChunkResolvesOnlyEarlierQueries checks that a chunk answers the queries that were enqueued before it was read,
// and no later ones. Otherwise a steady stream of new subscriptions could keep one chunk in use
// forever.
func TestChunkResolvesOnlyEarlierQueries(t *testing.T) {
	rr, subs := waitingReaders(3 * maxResolved / 2)
	counts := 0
	rr.yielded = func() {
		for range maxResolved {
			counts++
			require.Less(t, counts, 100*maxResolved)
			rr.enqueue(chunkQuery{seq: uint64(counts % len(subs)), until: 1 << 20, sub: new(subscriber)})
		}
	}
	q, _ := rr.nextQuery()
	q.seq = 0
	require.NoError(t, rr.readChunks(t.Context(), q))
	for _, s := range subs {
		require.Equal(t, 1, s.sink.(*countingSink).woken)
	}
	require.Equal(t, counts, rr.queue.len())
}

// TestQueryQueueModel compares the queue with a slice of its queries.
func TestQueryQueueModel(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		w := newQueryQueue()
		var model []*chunkQuery // the query that has waited longest is first
		subs := make([]*subscriber, 20)
		for i := range subs {
			subs[i] = new(subscriber)
		}
		find := func(s *subscriber) int {
			for i, q := range model {
				if q.sub == s {
					return i
				}
			}
			return -1
		}
		drop := func(subs []*subscriber) {
			for _, s := range subs {
				i := find(s)
				require.GreaterOrEqual(r, i, 0)
				model = append(model[:i], model[i+1:]...)
			}
		}
		best := func(better func(a, b *chunkQuery) bool, of func(*chunkQuery) bool) (found *chunkQuery) {
			for _, q := range model {
				if of(q) && (found == nil || better(q, found)) {
					found = q
				}
			}
			return found
		}
		all := func(*chunkQuery) bool { return true }
		oldest := func(*chunkQuery, *chunkQuery) bool { return false }
		r.Repeat(map[string]func(*rapid.T){
			"put": func(r *rapid.T) {
				q := chunkQuery{
					seq: rapid.Uint64Range(0, 9).Draw(r, "seq"),
					sub: rapid.SampledFrom(subs).Draw(r, "sub"),
				}
				at := find(q.sub)
				changed := w.put(&q)
				switch {
				case at < 0:
					model = append(model, &q)
				case changed:
					model[at] = &q
				default:
					require.True(r, model[at].sameAs(&q))
				}
			},
			"remove": func(r *rapid.T) {
				s := rapid.SampledFrom(subs).Draw(r, "sub")
				if w.remove(s); find(s) >= 0 {
					drop([]*subscriber{s})
				}
			},
			"postpone": func(r *rapid.T) {
				s := rapid.SampledFrom(subs).Draw(r, "sub")
				if i := find(s); i >= 0 {
					model = append(append(model[:i:i], model[i+1:]...), model[i])
				}
				w.postpone(s)
			},
			"sweep": func(r *rapid.T) {
				s := sweep{next: rapid.Uint64Range(0, 9).Draw(r, "from"), newest: rapid.Uint64Range(0, w.enqueued).Draw(r, "newest")}
				s.to = rapid.Uint64Range(s.next, 10).Draw(r, "to")
				from := s.next
				var want, got []*subscriber
				for _, q := range model {
					if from <= q.seq && q.seq < s.to && q.number <= s.newest {
						want = append(want, q.sub)
					}
				}
				for done := false; !done; {
					got, done = w.removeSwept(got, &s)
				}
				require.ElementsMatch(r, want, got)
				drop(got)
			},
			"": func(r *rapid.T) {
				require.Equal(r, len(model), w.len())
				require.Same(r, best(oldest, all), firstOf(&w.oldest))
				seq := rapid.Uint64Range(0, 10).Draw(r, "from")
				lower := func(a, b *chunkQuery) bool { return compareQueries(a, b) < 0 }
				require.Same(r, best(lower, func(q *chunkQuery) bool { return q.seq >= seq }), w.chunkFrom(seq))
				higher := func(a, b *chunkQuery) bool { return compareQueries(a, b) > 0 }
				require.Same(r, best(higher, all), w.newestChunk())
			},
		})
	})
}

// BenchmarkWaitingReaders measures one step of the replay reader, without reading the log, while n
// subscriptions wait. The step picks a query and wakes the subscriptions that wait for the same
// chunk; one of them enqueues its next query.
func BenchmarkWaitingReaders(b *testing.B) {
	for _, n := range []int{10, 1000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			rr := newReplayReader(&sliceLog{}, 10)
			for range n {
				rr.enqueue(chunkQuery{seq: rand.Uint64N(1 << 30), until: 1 << 31, sub: &subscriber{sink: new(countingSink)}})
			}
			for b.Loop() {
				q, _ := rr.nextQuery()
				c := chunk{from: q.seq, to: q.seq + 100}
				rr.resolveSweeps(rr.queue.sweeps(&c))
				rr.enqueue(chunkQuery{seq: c.to, until: 1 << 31, sub: q.sub})
			}
		})
	}
}
