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
	client := b.stall(1, 1<<20)[0] // the client closes while the writer is writing
	b.publish(1, 30, 100_000)
	require.NoError(t, client.(*net.TCPConn).CloseWrite())
	r := reader{t, bufio.NewReader(client)}
	require.Equal(t, "open", r.line())
	require.Equal(t, 0, r.number(r.line(), 1<<20))
	for i := 1; i <= 30; i++ {
		require.Equal(t, i, r.number(r.line(), 100_000))
	}
	_, client = b.connect()
	client.Close()
	require.Eventually(t, func() bool { return b.counters.Connections.Load() <= 1 }, longTimeout, time.Millisecond)
}
