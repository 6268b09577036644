package hub

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkPublish measures the publishing of an event that has no subscribers, one at a time and
// in batches. The goal is a million events per second on one core.
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

// BenchmarkHostileFilters measures a publish to 200 subscribers with expensive filters: 64 each, of
// 16 tokens, which differ from the topic only in the last token.
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
