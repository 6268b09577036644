package connection_test

import (
	"bufio"
	"crypto/tls"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The poller detects that the peer has closed the connection, even without heartbeats. If the peer has
// closed only its write side, the hub first writes all queued events.
func TestPeerCloseIsWatched(t *testing.T) {
	t.Parallel()
	for name, secure := range map[string]bool{"plain": false, "TLS": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			watchPeerClose(t, secure)
		})
	}
}

func watchPeerClose(t *testing.T, secure bool) {
	b := newBench(t, 0, longTimeout)
	b.secure = secure
	client := b.stall(1, 1<<20)[0] // the writer is writing when the client closes its write side
	b.publish(1, 30, 100_000)
	raw := client
	if over, ok := client.(*tls.Conn); ok {
		raw = over.NetConn()
	}
	require.NoError(t, raw.(*net.TCPConn).CloseWrite())
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
