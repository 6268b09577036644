package hub

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// shardSink is a Sink that records what it receives. Like a connection writer, it calls Read if it
// cannot use a batch.
type shardSink struct {
	before func() // called before each batch; nil: none
	encode func(*Event) []byte

	mu     sync.Mutex
	sub    *Subscription
	got    []uint64
	joined [][]byte // coalesced writes
	reads  int
	gaps   []*Gap
}

func (k *shardSink) Ready(b *Batch) {
	if k.before != nil {
		k.before()
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	start, ok := k.sub.Offset(b)
	if !ok {
		k.read()
		return
	}
	for start < len(b.Events) {
		joined, end := b.Coalesce(0, k.encode, start)
		for _, e := range b.Events[start:end] {
			k.got = append(k.got, e.ID.Seq)
		}
		k.joined, start = append(k.joined, joined), end
	}
	k.sub.Advance(b.To)
}

func (k *shardSink) read() {
	k.reads++
	for more := true; more; {
		r := k.sub.Read(wideLimit)
		if r.Gap != nil {
			k.gaps = append(k.gaps, r.Gap)
		}
		for _, e := range r.Events {
			k.got = append(k.got, e.ID.Seq)
		}
		more = r.More
	}
}

// shardTest is a hub and its subscribers. All subscribers have the same filter, and each shard has two of
// them.
type shardTest struct {
	*testing.T
	hub   *Hub
	sinks []*shardSink
}

func startShards(t *testing.T, subscribers int, cfg Config) *shardTest {
	s := &shardTest{T: t, hub: startHub(t, cfg)}
	s.hub.shardSize = 2
	for range subscribers {
		k := &shardSink{encode: func(e *Event) []byte { return e.Data }}
		k.sub = s.subscribe(k)
		s.sinks = append(s.sinks, k)
	}
	return s
}

func (s *shardTest) subscribe(k *shardSink) *Subscription {
	sub, err := s.hub.Subscribe(Request{Filters: setOf("a")}, k)
	require.NoError(s, err)
	return sub
}

// publish publishes n events and waits until all workers are idle or blocked.
func (s *shardTest) publish(n int) {
	events := make([]*Event, n)
	for i := range events {
		events[i] = &Event{Topic: "a", Data: []byte("data")}
	}
	_, err := s.hub.Publish(s.Context(), events...)
	require.NoError(s, err)
	synctest.Wait()
}

// seqs returns the numbers from first to last.
func seqs(first, last uint64) (all []uint64) {
	for n := first; n <= last; n++ {
		all = append(all, n)
	}
	return all
}

// Several workers offer one batch to the subscribers of a group at the same time. Four workers take a
// quarter of the time that one worker takes.
func TestShardsUseEveryWorker(t *testing.T) {
	for _, workers := range []int{1, 2, 4} {
		synctest.Test(t, func(t *testing.T) {
			s := startShards(t, 32, Config{Workers: workers})
			for _, k := range s.sinks {
				k.before = func() { time.Sleep(time.Millisecond) }
			}
			begin := time.Now()
			s.publish(1)
			for offered := 0; offered < len(s.sinks); {
				time.Sleep(time.Millisecond)
				synctest.Wait()
				offered = 0
				for _, k := range s.sinks {
					k.mu.Lock()
					offered += len(k.got)
					k.mu.Unlock()
				}
			}
			require.Equal(t, time.Duration(32/workers)*time.Millisecond, time.Since(begin))
			for _, k := range s.sinks {
				require.Equal(t, seqs(1, 1), k.got)
			}
		})
	}
}

// A shard whose worker is blocked does not delay other shards, and the hub keeps no batches in memory
// for it. When the worker continues, the subscribers receive every event once and in order, from other
// batches, or a gap if retention has removed events.
func TestSlowShardDoesNotDelayOthers(t *testing.T) {
	for _, row := range []struct {
		name          string
		burst, retain uint64
	}{{"little to read", 1, 10_000}, {"more than one batch", 30, 10_000}, {"retention removed events", 1, 50}} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const steps = 100
				s := startShards(t, 8, Config{Workers: 2, Retention: Retention{Events: int(row.retain)}})
				blocked := make(chan struct{})
				s.sinks[2].before = func() { <-blocked }
				g := s.sinks[0].sub.group
				size := int64(row.burst) * (&Event{Topic: "a", Data: []byte("data")}).size()
				for n := range uint64(steps) {
					s.publish(int(row.burst))
					for i, k := range s.sinks {
						if i/2 != 1 {
							require.Equal(t, seqs(1, (n+1)*row.burst), k.got, "%d", i)
						}
					}
					require.LessOrEqual(t, s.hub.batches.bytes.Load(), 3*size, "only the newest batch and the batch that is being offered to the shard are in memory")
					require.Empty(t, g.pending)
				}
				require.Empty(t, s.sinks[2].got)
				require.Empty(t, s.sinks[3].got)
				s.sinks[2].before = nil
				close(blocked)
				synctest.Wait()
				all := steps * row.burst
				for _, k := range s.sinks[2:4] {
					if row.retain < all {
						require.Len(t, k.gaps, 1)
						require.Equal(t, append(seqs(1, row.burst), seqs(all-row.retain+1, all)...), k.got, "the shard receives the first events and all retained ones")
					} else {
						require.Equal(t, seqs(1, all), k.got)
						require.Zero(t, k.reads)
					}
				}
				require.Zero(t, s.hub.batches.bytes.Load())
				require.Nil(t, g.shards.newest)
			})
		})
	}
}

// All shards share the encodings of a batch and its coalesced writes, and the batch counts as one observed latency.
func TestShardsShareEncodings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := startShards(t, 20, Config{Workers: 3})
		encoded := 0
		var mu sync.Mutex
		for _, k := range s.sinks {
			k.encode = func(e *Event) []byte {
				mu.Lock()
				defer mu.Unlock()
				encoded++
				return append([]byte(nil), e.Data...)
			}
		}
		s.publish(10)
		require.Equal(t, 10, encoded)
		for _, k := range s.sinks {
			require.Equal(t, seqs(1, 10), k.got)
			require.Len(t, k.joined, 1)
			require.Len(t, k.joined[0], 10*len("data"))
			require.Same(t, &s.sinks[0].joined[0][0], &k.joined[0][0])
		}
		require.EqualValues(t, 1, s.hub.Stats().Latency.Count)
		require.Zero(t, s.hub.batches.bytes.Load())
	})
}

// If shared batches have reached their memory limit, each worker makes its own batches. No event is lost, and
// the memory stays limited.
func TestSharedBatchMemoryIsLimited(t *testing.T) {
	for _, free := range []int64{0, eventSize, 2 * eventSize, 10 * eventSize} {
		synctest.Test(t, func(t *testing.T) {
			s := startShards(t, 9, Config{Workers: 2})
			used := maxSharedBytes - free
			require.True(t, s.hub.batches.reserve(used))
			for _, k := range s.sinks {
				k.before = func() {
					assert.LessOrEqual(t, s.hub.batches.bytes.Load(), int64(maxSharedBytes))
				}
			}
			for range 5 {
				s.publish(3)
			}
			for _, k := range s.sinks {
				require.Equal(t, seqs(1, 15), k.got)
				require.Empty(t, k.gaps)
			}
			require.Equal(t, used, s.hub.batches.bytes.Load())
		})
	}
}

// If an event is erased before it is offered to a shard, the shard does not receive it.
func TestEraseReachesWaitingShards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := startShards(t, 6, Config{Workers: 1})
		blocked := make(chan struct{})
		s.sinks[1].before = func() { <-blocked }
		s.publish(3)
		require.Equal(t, seqs(1, 3), s.sinks[0].got)
		require.NoError(t, s.hub.Erase(t.Context(), Cursor{s.hub.epoch, 2}))
		close(blocked)
		synctest.Wait()
		for _, k := range s.sinks[2:] {
			require.Equal(t, []uint64{1, 3}, k.got)
		}
		require.Zero(t, s.hub.batches.bytes.Load())
	})
}

// A group has no more shards than its subscribers need. When a subscriber leaves, the last subscriber may
// move to its shard. The subscriber that moves misses nothing and receives nothing twice, even if its new
// shard is ahead.
func TestSubscribersMoveBetweenShards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := startShards(t, 6, Config{Workers: 1})
		g := s.sinks[0].sub.group
		require.Len(t, g.shards.all, 3)
		blocked := make(chan struct{})
		s.sinks[3].before = func() { <-blocked }
		s.publish(2) // the first shard has the events, the second is being offered them, the third waits
		require.Equal(t, seqs(1, 2), s.sinks[0].got)
		require.Empty(t, s.sinks[5].got)
		s.sinks[0].sub.Close() // the last subscriber moves to the first shard
		s.sinks[4].sub.Close() // the third shard is empty
		require.Len(t, g.shards.all, 2)
		close(blocked)
		for n := range uint64(2) {
			synctest.Wait()
			for _, i := range []int{1, 2, 3, 5} {
				require.Equal(t, seqs(1, 2+n), s.sinks[i].got, "%d", i)
			}
			s.publish(1)
		}
		for _, k := range s.sinks {
			k.sub.Close()
		}
		require.Zero(t, s.hub.Stats().Groups)
		require.Zero(t, s.hub.batches.bytes.Load())
	})
}

// A subscriber that moves away from a slow shard does not wait for it any longer.
func TestSubscriberLeavesASlowShard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := startShards(t, 4, Config{Workers: 2})
		blocked := make(chan struct{})
		defer close(blocked)
		s.sinks[2].before = func() { <-blocked }
		s.publish(1)
		s.publish(1)
		require.Empty(t, s.sinks[3].got)
		s.sinks[0].sub.Close()
		synctest.Wait()
		require.Equal(t, seqs(1, 2), s.sinks[3].got)
	})
}

// A worker that offers a batch to the shards of a large group serves other groups between two shards.
func TestLargeGroupDoesNotDelayOtherGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := startShards(t, 20, Config{Workers: 1})
		var other *shardSink
		served := 0
		for _, k := range s.sinks {
			k.before = func() {
				time.Sleep(time.Millisecond)
				if len(other.got) == 0 {
					served++
				}
			}
		}
		other = &shardSink{encode: func(e *Event) []byte { return e.Data }}
		var err error
		other.sub, err = s.hub.Subscribe(Request{Filters: setOf("b")}, other)
		require.NoError(t, err)
		s.publish(1)
		_, err = s.hub.Publish(t.Context(), &Event{Topic: "b"})
		require.NoError(t, err)
		time.Sleep(time.Second)
		synctest.Wait()
		require.LessOrEqual(t, served, 4, "the other group is served after at most two shards")
	})
}
