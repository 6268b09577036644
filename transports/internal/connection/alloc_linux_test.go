package connection_test

import (
	"bufio"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/internal/connection"
)

// allocSink is a sink that stands in for several writers: it passes each batch to all of them, and
// sends the number of allocations per writer to allocs.
type allocSink struct {
	writers []*connection.Writer
	allocs  chan float64
}

func (m *allocSink) Ready(batch *hub.Batch) {
	i := 0
	m.allocs <- testing.AllocsPerRun(len(m.writers)-1, func() { // AllocsPerRun calls f one more time first, to warm up
		m.writers[i].Ready(batch)
		i++
	})
}

// poolsDropValues reports whether a sync.Pool drops some of its values, as it does with the race detector.
func poolsDropValues() bool {
	pool := sync.Pool{New: func() any { return new([64]byte) }}
	return testing.AllocsPerRun(10, func() {
		for range 100 {
			pool.Put(pool.Get())
		}
	}) > 0
}

func TestDeliveryAllocatesNothing(t *testing.T) {
	for name, secure := range map[string]bool{"plain": false, "TLS": true} {
		t.Run(name, func(t *testing.T) { countAllocations(t, secure) })
	}
}

func countAllocations(t *testing.T, secure bool) {
	b := newBench(t, 0, longTimeout)
	b.secure = secure
	m := &allocSink{allocs: make(chan float64, 1)}
	var readers []reader
	for i := range 50 {
		b.sink = func(w *connection.Writer) hub.Sink {
			m.writers = append(m.writers, w)
			if i > 0 {
				return ignoringSink{}
			}
			return m
		}
		_, client := b.connect()
		readers = append(readers, reader{t, bufio.NewReader(client)})
	}
	b.publish(0, 1, 100)
	allowed := 0.0
	if secure && poolsDropValues() {
		// TLS and direct writes each take a value from a pool. If both pools are empty, that takes up to
		// six allocations. A pool drops only some of its values, so the average, rounded down, is at most five.
		allowed = 5
	}
	require.LessOrEqual(t, <-m.allocs, allowed)
	for _, r := range readers {
		require.Equal(t, "open", r.line())
		require.Equal(t, 0, r.number(r.line(), 100))
	}
}
