package connection_test

import (
	"bufio"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestParted: without any heartbeat it is found by being watched, but for half of a connection all that
// is on its way is written first.
func TestParted(t *testing.T) {
	t.Parallel()
	b := newBench(t, 0, patience)
	_, client := b.connect()
	b.publish(0, 30, 100_000) // more than goes at once
	require.Eventually(t, func() bool { return b.counters.Delivered.Load() > 0 }, patience, time.Millisecond)
	require.NoError(t, client.(*net.TCPConn).CloseWrite())
	r := reader{t, bufio.NewReader(client)}
	require.Equal(t, "open", r.line())
	for i := range 30 {
		require.Equal(t, i, r.number(r.line(), 100_000))
	}
	_, client = b.connect()
	client.Close()
	require.Eventually(t, func() bool { return b.counters.Connections.Load() <= 1 }, patience, time.Millisecond)
}
