package connection_test

import (
	"bufio"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/internal/connection"
)

// measure is the sink for one of several writers. It offers each batch to all of them, and counts
// the allocations.
type measure struct {
	writers []*connection.Writer
	allocs  chan float64
}

func (m *measure) Ready(batch *hub.Batch) {
	i := 0
	m.allocs <- testing.AllocsPerRun(len(m.writers)-1, func() { // AllocsPerRun runs once more to warm up
		m.writers[i].Ready(batch)
		i++
	})
}

// poolsForget reports whether a sync.Pool drops some of its values, as it does with the race detector.
func poolsForget() bool {
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
	m := &measure{allocs: make(chan float64, 1)}
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
	if secure && poolsForget() {
		allowed = 5 // TLS and direct writes use a pool each, whose values have up to three allocations
	}
	require.LessOrEqual(t, <-m.allocs, allowed)
	for _, r := range readers {
		require.Equal(t, "open", r.line())
		require.Equal(t, 0, r.number(r.line(), 100))
	}
}
