package settings

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLocalOnly(t *testing.T) {
	for _, local := range []string{"127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1", "localhost:1", "LOCALHOST.:1", "hub.localhost:1"} {
		require.True(t, localOnly(local), local)
	}
	for _, far := range []string{":1", "0.0.0.0:1", "[::]:1", "192.0.2.1:1", "hub.example:1", "localhost.example:1", "239.255.42.1:1"} {
		require.False(t, localOnly(far), far)
	}
}

func TestLargeNetwork(t *testing.T) {
	for _, large := range []string{"0.0.0.0/1", "128.0.0.0/1", "8.0.0.0/7", "::/1", "2000::/3", "::ffff:0.0.0.0/97"} {
		require.True(t, largeNetwork(large), large)
	}
	for _, small := range []string{"10.0.0.0/8", "fc00::/7", "192.0.2.1", "::1", "2001:db8::/32", "::ffff:10.0.0.0/104"} {
		require.False(t, largeNetwork(small), small)
	}
}
