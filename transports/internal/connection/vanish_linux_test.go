package connection_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
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
			retryLonger(t, 250*time.Millisecond, 16*time.Second, func(timeout time.Duration) error {
				return vanish(t, secure, timeout)
			})
		})
	}
}

// vanish makes the peer unreachable for one write timeout, and then forever. It requires that the hub
// closes the connection the second time. It returns an error if the hub closes the connection the first
// time. timeout is the write timeout; the kernel's timeout is four times as long.
func vanish(t *testing.T, secure bool, timeout time.Duration) error {
	b := newBench(t, 0, timeout)
	b.secure, b.fast = secure, true
	_, client := b.connect()
	r := bufio.NewReader(client)
	line, err := r.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "open\n", line)
	start := time.Now()
	setUnreachable(t, client, true)
	b.publish(0, 1, 10)
	time.Sleep(timeout) // the peer is unreachable during this time
	setUnreachable(t, client, false)
	if line, err = r.ReadString('\n'); err != nil {
		return fmt.Errorf("closed after the peer was unreachable for %v with a write timeout of %v: %w", time.Since(start), timeout, err)
	}
	require.Zero(t, reader{t, r}.number(strings.TrimSuffix(line, "\n"), 10))
	start = time.Now()
	setUnreachable(t, client, true)
	b.publish(1, 1, 10)
	require.Eventually(t, func() bool { return b.counters.Connections.Load() == 0 }, longTimeout, time.Millisecond)
	require.Greater(t, time.Since(start), 2*timeout)
	require.Zero(t, b.hub.Stats().Subscriptions)
	return nil
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
