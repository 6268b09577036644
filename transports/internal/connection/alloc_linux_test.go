package connection_test

import (
	"bufio"
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

func TestDeliveryAllocatesNothing(t *testing.T) {
	b := newBench(t, 0, longTimeout)
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
	require.Zero(t, <-m.allocs)
	for _, r := range readers {
		require.Equal(t, "open", r.line())
		require.Equal(t, 0, r.number(r.line(), 100))
	}
}
