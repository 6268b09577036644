package hubtest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

// FreePorts returns free ports below the range that systems assign to outgoing connections (from
// 32768 on Linux, 49152 elsewhere). A port in that range could be taken before the server listens
// on it.
func FreePorts(t *testing.T, n int) (ports []int) {
	t.Helper()
	for tries := 0; len(ports) < n; tries++ {
		port := 10000 + rand.IntN(32768-10000)
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			require.Less(t, tries, 100, "no port is free: %v", err)
			continue
		}
		defer l.Close()
		ports = append(ports, port)
	}
	return ports
}
