package connection_test

import (
	"bufio"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The poller detects without heartbeats that the peer has closed the connection. If the peer has
// closed only its write side, everything that is queued is written first.
func TestPeerCloseIsWatched(t *testing.T) {
	t.Parallel()
	b := newBench(t, 0, longTimeout)
	_, client := b.connect()
	b.publish(0, 30, 100_000) // more than a single write accepts
	require.Eventually(t, func() bool { return b.counters.Delivered.Load() > 0 }, longTimeout, time.Millisecond)
	require.NoError(t, client.(*net.TCPConn).CloseWrite())
	r := reader{t, bufio.NewReader(client)}
	require.Equal(t, "open", r.line())
	for i := range 30 {
		require.Equal(t, i, r.number(r.line(), 100_000))
	}
	_, client = b.connect()
	client.Close()
	require.Eventually(t, func() bool { return b.counters.Connections.Load() <= 1 }, longTimeout, time.Millisecond)
}
