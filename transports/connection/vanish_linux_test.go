package connection_test

import (
	"bufio"
	"crypto/tls"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// TestVanished: a peer of which nothing comes any more, not even that it has got something, is found
// although the kernel still has room for all that it is to get; one that was away for less goes on.
func TestVanished(t *testing.T) {
	t.Parallel()
	for name, secure := range map[string]bool{"direct": false, "TLS": true} {
		heartbeat := time.Duration(0)
		if secure { // which is not watched
			heartbeat = 100 * time.Millisecond
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const timeout = time.Second // the kernel's is four times as long
			b := newBench(t, heartbeat, timeout)
			b.secure, b.fast = secure, true
			_, client := b.connect()
			r := reader{t, bufio.NewReader(client)}
			require.Equal(t, "open", r.heard())
			away(t, client, true)
			b.publish(0, 1, 10)
			time.Sleep(timeout) // that is how long it is away
			away(t, client, false)
			require.Equal(t, 0, r.number(r.heard(), 10))
			away(t, client, true)
			b.publish(1, 1, 10)
			begin := time.Now()
			require.Eventually(t, func() bool { return b.counters.Connections.Load() == 0 }, patience, time.Millisecond)
			require.Greater(t, time.Since(begin), 2*timeout)
			require.Zero(t, b.hub.Stats().Subscriptions)
		})
	}
}

// heard is the next line but for heartbeats.
func (r reader) heard() string {
	line := r.line()
	for strings.HasPrefix(line, "beat ") {
		line = r.line()
	}
	return line
}

// away has the kernel lose all that comes for a connection, as if the network did, and back: its socket
// wants a neighbour's packets (IP_MINTTL, RFC 5082), which those of loopback do not look like. It takes
// no rights, and neither does the test of what only a network can do.
func away(t *testing.T, c net.Conn, away bool) {
	if over, ok := c.(*tls.Conn); ok {
		c = over.NetConn()
	}
	raw, err := c.(*net.TCPConn).SyscallConn()
	require.NoError(t, err)
	hops := 0
	if away {
		hops = 255
	}
	require.NoError(t, raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MINTTL, hops)
	}))
	require.NoError(t, err)
}
