package connection_test

import (
	"bufio"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/connection"
)

// measure is the sink of one of several outlets, and offers the round to all of them.
type measure struct {
	outlets []*connection.Writer
	allocs  chan float64
}

func (m *measure) Ready(r *hub.Round) {
	i := 0
	m.allocs <- testing.AllocsPerRun(len(m.outlets)-1, func() { // and one to warm up
		m.outlets[i].Ready(r)
		i++
	})
}

// TestDeliveryAllocatesNothing: on the direct path a delivery is no more than its write.
func TestDeliveryAllocatesNothing(t *testing.T) {
	b := newBench(t, 0, patience)
	m := &measure{allocs: make(chan float64, 1)}
	var readers []reader
	for i := range 50 {
		b.sink = func(o *connection.Writer) hub.Sink {
			m.outlets = append(m.outlets, o)
			if i > 0 {
				return deaf{}
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
