package testkit

import (
	"fmt"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestPortsDiffer checks that tests that run at the same time get different ports. Without
// reservations, two of so many random ports would almost always be equal.
func TestPortsDiffer(t *testing.T) {
	const tests, each = 40, 20
	seen := map[int]bool{}
	for range tests {
		for _, port := range FreePorts(t, each) {
			seen[port] = true
		}
	}
	require.Len(t, seen, tests*each)
}

// TestPortsServeHTTP3 checks that a server can listen on a free port with TCP and with UDP, on all addresses.
func TestPortsServeHTTP3(t *testing.T) {
	address := fmt.Sprintf(":%d", FreePorts(t, 1)[0])
	l, err := net.Listen("tcp", address)
	require.NoError(t, err)
	require.NoError(t, l.Close())
	c, err := net.ListenPacket("udp", address)
	require.NoError(t, err)
	require.NoError(t, c.Close())
}
