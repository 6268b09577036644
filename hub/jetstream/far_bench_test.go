//go:build unix

package jetstream

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/hub/enginetest"
)

var (
	farEvents = flag.Int("far.events", 100_000, "number of events in the store of BenchmarkRareTopics")
	farStore  = flag.String("far.store", "", "directory of the store, which is reused; empty: a new one")
)

// BenchmarkRareTopics reads events that are far older than the in-memory log: the newest events of rare
// topics, and the whole log. One of 100,000 events has the topic "rare", and one of 1,000 the topic
// "seldom". Of the first 10,000 events, 100 have the topic "old".
func BenchmarkRareTopics(b *testing.B) {
	dir := *farStore
	if dir == "" {
		dir = b.TempDir()
	}
	e, err := New(Config{Store: dir, Retention: hub.Retention{Events: 1 << 30, Bytes: 1 << 40, Age: 1000 * time.Hour}})
	require.NoError(b, err)
	h, err := hub.New(hub.Config{Engine: e, Retention: hub.Retention{Events: 1000}})
	require.NoError(b, err)
	defer func() { require.NoError(b, h.Close()) }()
	for n := int(h.Position().Seq); n < *farEvents; {
		events := make([]*hub.Event, 2048)
		for i := range events {
			topic := fmt.Sprint("often.", n%100)
			switch {
			case n < 10_000 && n%100 == 50:
				topic = "old"
			case n%100_000 == 99_000:
				topic = "rare"
			case n%1000 == 999:
				topic = "seldom"
			}
			events[i] = one(topic)
			n++
		}
		_, err := h.PublishEach(b.Context(), events...)
		require.NoError(b, err)
	}
	for _, row := range []struct {
		topic string
		last  int
	}{{"rare", 10}, {"old", 10}, {"seldom", 10}, {"seldom", 1000}, {"often.7", 10}, {"none", 10}} {
		b.Run(fmt.Sprintf("last %d of %s", row.last, row.topic), func(b *testing.B) {
			requests := e.conn.Stats().OutMsgs
			begin := time.Now()
			for i := 0; b.Loop(); i++ {
				read(b, h, row.topic, hub.Start{Last: row.last}, row.last)
				if i == 0 {
					b.ReportMetric(float64(time.Since(begin).Milliseconds()), "first-ms")
				}
			}
			b.ReportMetric(float64(e.conn.Stats().OutMsgs-requests)/float64(b.N), "requests/op")
		})
	}
	for _, topic := range []string{"rare", "old", "seldom", "none", "*.nothing"} {
		b.Run("replay "+topic, func(b *testing.B) {
			before := e.conn.Stats()
			begin, n := time.Now(), 0
			for i := 0; b.Loop(); i++ {
				n += read(b, h, topic, hub.Start{Cursor: &hub.Cursor{Epoch: e.epoch}}, *farEvents)
				if i == 0 {
					b.ReportMetric(float64(time.Since(begin).Milliseconds()), "first-ms")
				}
			}
			b.ReportMetric(float64(n)/float64(b.N), "events/op")
			b.ReportMetric(float64(e.conn.Stats().InMsgs-before.InMsgs)/float64(b.N), "messages/op")
		})
	}
	b.Run("replay", func(b *testing.B) {
		stop := cpuOf(b)
		n := 0
		for b.Loop() {
			n += read(b, h, ">", hub.Start{Cursor: &hub.Cursor{Epoch: e.epoch}}, min(*farEvents, 500_000))
		}
		stop()
		b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
	})
}

// read subscribes to the topic and returns the number of received events. It stops when it has received
// at least limit events.
func read(b *testing.B, h *hub.Hub, topic string, start hub.Start, limit int) (n int) {
	f, err := hub.ParseFilter(topic)
	require.NoError(b, err)
	wakeup := hub.NewWakeup()
	s, err := h.Subscribe(hub.Request{Filters: hub.NewFilterSet(f), Start: start}, wakeup)
	require.NoError(b, err)
	defer s.Close()
	for n < limit {
		batch := s.Read(hub.ReadLimit{Events: 1000, Bytes: 1 << 20})
		n += len(batch.Events)
		switch {
		case batch.Waiting:
			select {
			case <-wakeup:
			case <-time.After(enginetest.Patience):
				b.Fatal("no event was delivered in time")
			}
		case !batch.More:
			return n
		}
	}
	return n
}
