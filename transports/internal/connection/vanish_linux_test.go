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

// A peer that no longer acknowledges data is disconnected, even if the kernel's buffer still has room.
// A peer that is unreachable for less than the kernel's timeout stays connected.
func TestVanishedPeerIsClosed(t *testing.T) {
	t.Parallel()
	for name, secure := range map[string]bool{"direct": false, "TLS": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for !vanish(t, secure) {
				t.Log("the machine paused the test for too long")
			}
		})
	}
}

// vanish returns false if the test was paused for so long that the kernel may have closed the
// connection. In this case the test is inconclusive and must be repeated.
func vanish(t *testing.T, secure bool) bool {
	const timeout = time.Second // the kernel's timeout is four times as long
	b := newBench(t, 0, timeout)
	b.secure, b.fast = secure, true
	_, client := b.connect()
	r := reader{t, bufio.NewReader(client)}
	require.Equal(t, "open", r.lineAfterHeartbeats())
	start := time.Now()
	setUnreachable(t, client, true)
	b.publish(0, 1, 10)
	time.Sleep(timeout) // the peer is unreachable during this time
	setUnreachable(t, client, false)
	if time.Since(start) > 2*timeout {
		return false
	}
	require.Equal(t, 0, r.number(r.lineAfterHeartbeats(), 10))
	start = time.Now()
	setUnreachable(t, client, true)
	b.publish(1, 1, 10)
	require.Eventually(t, func() bool { return b.counters.Connections.Load() == 0 }, longTimeout, time.Millisecond)
	require.Greater(t, time.Since(start), 2*timeout)
	require.Zero(t, b.hub.Stats().Subscriptions)
	return true
}

// lineAfterHeartbeats returns the next line that is not a heartbeat.
func (r reader) lineAfterHeartbeats() string {
	line := r.line()
	for strings.HasPrefix(line, "heartbeat ") {
		line = r.line()
	}
	return line
}

// setUnreachable makes the kernel drop all packets that arrive for a connection, as if the network
// were broken, or makes it accept them again. To drop them, the socket requires a hop limit of 255
// (IP_MINTTL, RFC 5082), which loopback packets do not have. This needs no privileges.
func setUnreachable(t *testing.T, c net.Conn, unreachable bool) {
	if over, ok := c.(*tls.Conn); ok {
		c = over.NetConn()
	}
	raw, err := c.(*net.TCPConn).SyscallConn()
	require.NoError(t, err)
	hops := 0
	if unreachable {
		hops = 255
	}
	require.NoError(t, raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MINTTL, hops)
	}))
	require.NoError(t, err)
}
