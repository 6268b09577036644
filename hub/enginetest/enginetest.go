// Package enginetest is a conformance suite for implementations of hub.Engine. It checks the contract
// of hub.Engine, and what docs/protocol.md promises about a hub that uses the engine. There is a
// subtest for each promise. The test of an engine calls Run.
//
//	func TestEngine(t *testing.T) {
//		enginetest.Run(t, false, func(t *testing.T, keep hub.Retention) hub.Engine { return newEngine(t, keep) })
//	}
//
// An engine may deliver events before or after its Publish returns, so the suite waits up to Patience
// for deliveries. Most subtests run in parallel; the subtest that measures memory runs alone, before
// them. The suite starts goroutines only for publishers; each subtest waits for its publishers.
package enginetest

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub"
)

// Patience is the longest time that the suite waits for one delivery.
const Patience = 3 * time.Minute

// Run runs the suite and returns when all subtests have ended. newEngine must return an engine that is
// not started, contains no events, and retains at least what keep requires. Run starts and closes the
// engine. Several goroutines call newEngine at once. If long is set, the suite publishes one million
// events through a hub instead of 20,000, and concurrent publishers publish ten times as many batches.
//
// The test that calls Run must not run in parallel with other tests, because Run measures the heap
// of the process. It may call t.Parallel after Run.
func Run(t *testing.T, long bool, newEngine func(t *testing.T, keep hub.Retention) hub.Engine) {
	runMemory(t, long, newEngine)
	t.Run("contract", func(t *testing.T) { // returns when its parallel subtests have ended
		runEngine(t, long, newEngine)
		runHubs(t, newEngine)
	})
}

// runEngine checks the contract of an engine, without a hub.
func runEngine(t *testing.T, long bool, newEngine func(*testing.T, hub.Retention) hub.Engine) {
	batches := 20 // number of batches of each concurrent publisher; small, because an engine may sync a file for each batch
	if long {
		batches = 200
	}
	for _, test := range []struct {
		name string
		run  func(*testing.T, *log)
	}{
		{"order", testOrder},
		{"members", testMembers},
		{"concurrent publishers", func(t *testing.T, l *log) { testConcurrent(t, l, batches) }},
		{"ended context", testEndedContext},
		{"close", testClose},
		{"close under load", testCloseUnderLoad},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			l := &log{t: t, engine: newEngine(t, hub.Retention{}), more: make(chan struct{}, 1)}
			start, err := l.engine.Start(l.deliver)
			require.NoError(t, err)
			l.start = start
			test.run(t, l)
			l.close()
		})
	}
}

// log records what an engine delivers, and checks the rules that every delivery must obey.
type log struct {
	t      *testing.T
	engine hub.Engine
	start  hub.Cursor
	more   chan struct{} // capacity 1; signaled after each delivery

	delivering sync.Mutex // held during deliver, to detect concurrent calls

	mu     sync.Mutex
	events []*hub.Event
	closed bool
}

func (l *log) deliver(events []*hub.Event) {
	if !l.delivering.TryLock() {
		l.t.Error("deliver was called concurrently")
		return
	}
	defer l.delivering.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		l.t.Error("deliver was called after Close returned")
	}
	if len(events) == 0 {
		l.t.Error("deliver was called without events")
	}
	l.events = append(l.events, events...)
	select {
	case l.more <- struct{}{}:
	default:
	}
}

// upTo blocks until the event with the given ID is delivered, and returns all events delivered so far.
func (l *log) upTo(id hub.Cursor) []*hub.Event {
	l.t.Helper()
	timeout := time.NewTimer(Patience)
	defer timeout.Stop()
	for {
		events := l.delivered()
		if n := len(events); n > 0 && events[n-1].ID.Seq >= id.Seq {
			return events
		}
		select {
		case <-l.more:
		case <-timeout.C:
			require.FailNow(l.t, "the event was not delivered", "event %v, after %d delivered events", id, len(events))
		}
	}
}

func (l *log) delivered() []*hub.Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.events)
}

// close closes the engine and checks the order of the whole log.
func (l *log) close() {
	l.t.Helper()
	l.mu.Lock()
	closed := l.closed
	l.mu.Unlock()
	if !closed {
		require.NoError(l.t, l.engine.Close())
		l.mu.Lock()
		l.closed = true
		l.mu.Unlock()
	}
	last := l.start
	for _, e := range l.delivered() {
		require.Equal(l.t, l.start.Epoch, e.ID.Epoch)
		require.Greater(l.t, e.ID.Seq, last.Seq, "seqs increase from the start position")
		require.False(l.t, e.Time.IsZero())
		last = e.ID
	}
}

// publish publishes one batch and requires success.
func (l *log) publish(topics ...string) hub.Cursor {
	l.t.Helper()
	id, err := l.engine.Publish(l.t.Context(), batchOf(topics...))
	require.NoError(l.t, err)
	return id
}

func batchOf(topics ...string) []*hub.Event {
	events := make([]*hub.Event, len(topics))
	for i, topic := range topics {
		events[i] = &hub.Event{Topic: topic, Data: []byte("1")}
	}
	return events
}

func topicsOf(events []*hub.Event) []string {
	topics := make([]string, len(events))
	for i, e := range events {
		topics[i] = e.Topic
	}
	return topics
}

// testOrder checks that events are delivered once and in the order of publishing, and that Publish
// returns the ID of the last event.
func testOrder(t *testing.T, l *log) {
	var want []string
	ids := make(map[hub.Cursor]string)
	var id hub.Cursor
	for i := range 50 {
		var batch []string
		for j := range 1 + i%7 {
			batch = append(batch, fmt.Sprintf("t.%d.%d", i, j))
		}
		before := id
		id = l.publish(batch...)
		require.Greater(t, id.Seq, max(before.Seq, l.start.Seq))
		ids[id] = batch[len(batch)-1]
		want = append(want, batch...)
	}
	events := l.upTo(id)
	require.Equal(t, want, topicsOf(events))
	for _, e := range events {
		if topic, last := ids[e.ID]; last {
			require.Equal(t, topic, e.Topic)
			delete(ids, e.ID)
		}
	}
	require.Empty(t, ids)
}

// testMembers checks that all members of an event are delivered as published.
func testMembers(t *testing.T, l *log) {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	four := func() []*hub.Event {
		return []*hub.Event{
			{Topic: "a.ä.日本", Type: "created", Key: "k ü", Data: []byte(`{"a" : 1.0}`), Encoding: hub.JSON},
			{Topic: "b", Data: []byte("text\r\n\t\"\u2028"), Encoding: hub.Text},
			{Topic: "c", Type: "t: x", Data: every, Encoding: hub.Binary},
			{Topic: "d", Encoding: hub.Text},
		}
	}
	before := time.Now().Add(-time.Second)
	id, err := l.engine.Publish(t.Context(), four())
	require.NoError(t, err)
	events := l.upTo(id)
	want := four()
	require.Len(t, events, len(want))
	for i, e := range events {
		require.Equal(t, want[i].Topic, e.Topic)
		require.Equal(t, want[i].Type, e.Type)
		require.Equal(t, want[i].Key, e.Key)
		require.Equal(t, string(want[i].Data), string(e.Data))
		require.Equal(t, want[i].Encoding, e.Encoding)
		require.WithinRange(t, e.Time, before, time.Now().Add(time.Second))
		require.Equal(t, time.UTC, e.Time.Location())
	}
}

// testConcurrent checks that no event of concurrent publishers is lost, that their events have
// different IDs, and that the batches of each publisher stay in order.
func testConcurrent(t *testing.T, l *log, batches int) {
	const publishers, size = 8, 3
	var running sync.WaitGroup
	var mu sync.Mutex
	last := make(map[hub.Cursor]string)
	newest := hub.Cursor{}
	for p := range publishers {
		running.Go(func() {
			for b := range batches {
				topics := make([]string, size)
				for i := range topics {
					topics[i] = fmt.Sprintf("%d.%d", p, b*size+i)
				}
				id, err := l.engine.Publish(t.Context(), batchOf(topics...))
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				last[id] = topics[size-1]
				if id.Seq > newest.Seq {
					newest = id
				}
				mu.Unlock()
			}
		})
	}
	running.Wait()
	require.Len(t, last, publishers*batches, "each batch has its own ID")
	events := l.upTo(newest)
	require.Len(t, events, publishers*batches*size)
	next := make([]int, publishers)
	for _, e := range events {
		var p, n int
		_, err := fmt.Sscanf(e.Topic, "%d.%d", &p, &n)
		require.NoError(t, err)
		require.Equal(t, next[p], n, "publisher %d", p)
		next[p]++
		if topic, ends := last[e.ID]; ends {
			require.Equal(t, topic, e.Topic)
		}
	}
}

// testEndedContext checks that a publish whose context has ended stores either all of its events or none.
func testEndedContext(t *testing.T, l *log) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	want := []string{"first"}
	l.publish("first")
	if _, err := l.engine.Publish(ended, batchOf("x", "y", "z")); err == nil {
		want = append(want, "x", "y", "z")
	}
	id := l.publish("last")
	require.Equal(t, append(want, "last"), topicsOf(l.upTo(id)))
}

// testClose checks that Publish fails with hub.ErrClosed after Close.
func testClose(t *testing.T, l *log) {
	id := l.publish("a", "b")
	l.upTo(id)
	l.close()
	_, err := l.engine.Publish(t.Context(), batchOf("c"))
	require.ErrorIs(t, err, hub.ErrClosed)
	require.Equal(t, []string{"a", "b"}, topicsOf(l.delivered()))
}

// testCloseUnderLoad checks that Close makes all waiting publishers return an error, and that the
// events delivered before Close are in order.
func testCloseUnderLoad(t *testing.T, l *log) {
	var running sync.WaitGroup
	for p := range 4 {
		running.Go(func() {
			for n := 0; ; n++ {
				runtime.Gosched() // WebAssembly has one thread and no preemption
				if _, err := l.engine.Publish(t.Context(), batchOf(fmt.Sprintf("%d.%d", p, n))); err != nil {
					return
				}
			}
		})
	}
	timeout := time.After(Patience)
	for len(l.delivered()) < 100 {
		select {
		case <-l.more:
		case <-timeout:
			require.FailNow(t, "fewer than 100 events were delivered")
		}
	}
	l.close()
	running.Wait()
	next := make(map[int]int)
	for _, e := range l.delivered() {
		var p, n int
		_, err := fmt.Sscanf(e.Topic, "%d.%d", &p, &n)
		require.NoError(t, err)
		require.Equal(t, next[p], n, "publisher %d", p)
		next[p]++
	}
}
