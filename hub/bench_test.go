package hub

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// BenchmarkPublish measures publishing events that have no subscribers, one at a time and in batches.
// The goal is a million events per second on one core.
func BenchmarkPublish(b *testing.B) {
	for _, size := range []int{1, 64} {
		b.Run(fmt.Sprint("batch ", size), func(b *testing.B) {
			h, err := New(Config{})
			require.NoError(b, err)
			defer h.Close()
			topics := make([]string, 1000)
			for i := range topics {
				topics[i] = fmt.Sprint("orders.", i, ".paid")
			}
			data := make([]byte, 200)
			b.ReportAllocs()
			events := make([]*Event, 0, size)
			for i := 0; b.Loop(); i++ {
				events = append(events, &Event{Topic: topics[i%len(topics)], Data: data})
				if len(events) < size {
					continue
				}
				if _, err := h.Publish(b.Context(), events...); err != nil {
					b.Fatal(err)
				}
				events = events[:0]
			}
		})
	}
}

// BenchmarkMatch measures the search for the groups that match an event, among 10,000 groups with
// exact topics and 1000 with wildcards.
func BenchmarkMatch(b *testing.B) {
	ix := newIndex()
	for i := range 10_000 {
		ix.add(&group{set: setOf(fmt.Sprintf("orders.%d.paid", i))})
		if i%10 == 0 {
			ix.add(&group{set: setOf(fmt.Sprintf("orders.%d.>", i), fmt.Sprintf("*.%d.sent", i))})
		}
	}
	ix.add(&group{set: setOf("orders.*.paid")})
	ix.add(&group{set: setOf(">")})
	b.ReportAllocs()
	var found []*group
	for b.Loop() {
		found = ix.match(found[:0], "orders.420.paid")
	}
	require.Len(b, found, 4)
}

// acceptAllSink is a Sink that reads every event it is offered, like a connection writer whose peer
// keeps up.
type acceptAllSink struct {
	sub  *Subscription
	took *sync.WaitGroup
}

func (k *acceptAllSink) Ready(b *Batch) {
	start, ok := k.sub.Offset(b)
	for ok && start < len(b.Events) {
		_, start = b.Coalesce(0, func(e *Event) []byte { return e.Data }, start)
	}
	k.sub.Advance(b.To)
	k.took.Done()
}

// BenchmarkBatch measures how long it takes to offer a batch to all subscribers of a group, without
// writing to connections. The batch is one event, or a burst whose bytes are coalesced once for all
// subscribers.
func BenchmarkBatch(b *testing.B) {
	for _, row := range []struct{ subscribers, burst int }{{1, 1}, {1000, 1}, {1000, 64}} {
		b.Run(fmt.Sprint(row.subscribers, " subscribers, ", row.burst, " events"), func(b *testing.B) {
			h, err := New(Config{Workers: 1})
			require.NoError(b, err)
			defer h.Close()
			var took sync.WaitGroup
			for range row.subscribers {
				k := &acceptAllSink{took: &took}
				k.sub, err = h.Subscribe(Request{Filters: setOf("a.>")}, k)
				require.NoError(b, err)
			}
			data := make([]byte, 200)
			events := make([]*Event, row.burst)
			b.ReportAllocs()
			for b.Loop() {
				for i := range events {
					events[i] = &Event{Topic: "a.b", Data: data}
				}
				took.Add(row.subscribers)
				if _, err := h.Publish(b.Context(), events...); err != nil {
					b.Fatal(err)
				}
				took.Wait()
			}
			deliveries := float64(b.N * row.subscribers * row.burst)
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/deliveries, "ns/delivery")
		})
	}
}

// workSink is a Sink that reads every event it is offered, and hashes the bytes, which takes about as
// long as a small write to a socket.
type workSink struct {
	sub  *Subscription
	took *sync.WaitGroup
	sum  [sha256.Size]byte
}

func (k *workSink) Ready(b *Batch) {
	start, ok := k.sub.Offset(b)
	for ok && start < len(b.Events) {
		var joined []byte
		from := start
		joined, start = b.Coalesce(0, func(e *Event) []byte { return e.Data }, start)
		k.sum = sha256.Sum256(joined[:min(len(joined), 1024)])
		k.took.Add(from - start)
	}
	k.sub.Advance(b.To)
}

// BenchmarkCores measures deliveries of one topic to many subscribers, with one fan-out worker and with
// one per core. Compare the metric deliveries/s.
func BenchmarkCores(b *testing.B) {
	for _, row := range []struct{ subscribers, burst int }{{100, 1}, {1000, 1}, {8000, 1}, {8000, 64}} {
		for _, workers := range []int{1, runtime.GOMAXPROCS(0)} {
			b.Run(fmt.Sprintf("%d subscribers, %d events, %d workers", row.subscribers, row.burst, workers), func(b *testing.B) {
				h, err := New(Config{Workers: workers})
				require.NoError(b, err)
				defer h.Close()
				var took sync.WaitGroup
				for range row.subscribers {
					k := &workSink{took: &took}
					k.sub, err = h.Subscribe(Request{Filters: setOf("a.>")}, k)
					require.NoError(b, err)
				}
				data := make([]byte, 200)
				events := make([]*Event, row.burst)
				b.ReportAllocs()
				for b.Loop() {
					for i := range events {
						events[i] = &Event{Topic: "a.b", Data: data}
					}
					took.Add(row.subscribers * row.burst)
					if _, err := h.Publish(b.Context(), events...); err != nil {
						b.Fatal(err)
					}
					took.Wait()
				}
				b.ReportMetric(float64(b.N*row.subscribers*row.burst)/b.Elapsed().Seconds(), "deliveries/s")
			})
		}
	}
}

// BenchmarkHostileFilters measures a publish while 200 subscribers have expensive filters. Each
// subscriber has 64 filters of 16 tokens, which differ from the topic only in the last token.
func BenchmarkHostileFilters(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 1))
	h, err := New(Config{})
	require.NoError(b, err)
	defer h.Close()
	for range 200 {
		_, err := h.Subscribe(Request{Filters: NewFilterSet(agreeingFilters(rng, 64)...)}, NewWakeup())
		require.NoError(b, err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := h.Publish(b.Context(), &Event{Topic: deepTopic}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFilterSet measures the creation and use of filter sets of the largest size that a
// request or a token may have.
func BenchmarkFilterSet(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, n := range []int{1, 64, 1024} {
		filters := deepFilters(rng, n)
		set := NewFilterSet(filters...)
		b.Run(fmt.Sprint("new of ", n), func(b *testing.B) {
			for b.Loop() {
				NewFilterSet(filters...)
			}
		})
		b.Run(fmt.Sprint("match of ", n), func(b *testing.B) {
			for b.Loop() {
				set.Match(deepTopic)
			}
		})
		b.Run(fmt.Sprint("cover 64 by ", n), func(b *testing.B) {
			for b.Loop() {
				for _, asked := range filters[:min(64, n)] {
					set.Cover(asked)
				}
			}
		})
	}
}

// BenchmarkResume measures how long 1000 subscriptions take to start and to read their first events, which
// are only in the durable log.
func BenchmarkResume(b *testing.B) {
	l := &logEngine{}
	h, err := New(Config{Engine: l, Retention: Retention{Events: 100}})
	require.NoError(b, err)
	defer h.Close()
	events := make([]*Event, 20*chunkEvents)
	for i := range events {
		events[i] = &Event{Topic: fmt.Sprint("t.", i%10), Data: []byte("1")}
	}
	_, err = h.Publish(b.Context(), events...)
	require.NoError(b, err)
	for name, start := range map[string]func(i int) Start{
		"cursor": func(int) Start { return after(10 * chunkEvents) },
		"last":   func(i int) Start { return Start{Last: 100 + i%100} },
		"since":  func(i int) Start { return Start{Since: time.Unix(1, int64(i))} },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				var all sync.WaitGroup
				for i := range 1000 {
					k := &resumeSink{done: &all}
					all.Add(1)
					k.sub, err = h.Subscribe(Request{Filters: setOf("t." + fmt.Sprint(i%10)), Start: start(i)}, k)
					require.NoError(b, err)
					k.Ready(nil)
				}
				all.Wait()
			}
		})
	}
}

// resumeSink reads until it has events, and then closes its subscription.
type resumeSink struct {
	mu   sync.Mutex
	sub  *Subscription
	done *sync.WaitGroup
}

func (k *resumeSink) Ready(*Batch) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for k.sub != nil {
		r := k.sub.Read(wideLimit)
		if len(r.Events) > 0 {
			k.sub.Close()
			k.sub = nil
			k.done.Done()
		} else if r.Waiting {
			return
		}
	}
}
