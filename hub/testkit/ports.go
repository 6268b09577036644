package testkit

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// To reserve a TCP port until the end of a test, FreePorts opens a UDP socket on the loopback address
// 127.75.75.75. The number of this UDP port is reservationOffset plus the reserved port. The UDP port with
// the same number as the TCP port must stay free, because an HTTP/3 server listens on both.
const (
	reservations      = "127.75.75.75"
	reservationOffset = 1 << 15
)

// FreePorts returns n free TCP ports. Until the test ends, other tests do not get these ports from
// FreePorts, even in other processes. The ports are below the range that systems assign to outgoing
// connections and to listeners on port 0 (from 32768 on Linux, 49152 elsewhere).
func FreePorts(t *testing.T, n int) (ports []int) {
	t.Helper()
	for tries := 0; len(ports) < n; tries++ {
		require.Less(t, tries, 1000, "no port is free")
		port := 10000 + rand.IntN(32768-10000)
		reserved, err := net.ListenPacket("udp", fmt.Sprintf("%s:%d", reservations, port+reservationOffset))
		if errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		if err == nil { // some systems have only one loopback address
			t.Cleanup(func() { reserved.Close() })
		}
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		defer l.Close()
		ports = append(ports, port)
	}
	return ports
}
