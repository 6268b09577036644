package main

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
)

// TestWarnsOfReadableSecrets checks that both --check and the start of a hub warn of a file with a
// secret that every user may read.
func TestWarnsOfReadableSecrets(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // Windows has no such file permissions
	}
	secret := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(secret, []byte(strings.Repeat("x", 32)), 0o600))
	args := []string{"--jwt-secret-file", secret, "--udp-secret-file", secret}
	require.Empty(t, parseServe(t, nil, args...).warnings())
	require.NoError(t, os.Chmod(secret, 0o640))
	require.Empty(t, parseServe(t, nil, args...).warnings())
	require.NoError(t, os.Chmod(secret, 0o644))
	detail := "every user of this machine can read " + secret + "; run chmod o-r on it"
	require.Equal(t, []fault{{"--jwt-secret-file", detail}, {"--udp-secret-file", detail}}, parseServe(t, nil, args...).warnings())
	p := hubtest.Start(t, hubtest.Program(t, nil, append(hubtest.AnyPorts, args...)...))
	require.Contains(t, p.Log(), `"level":"WARN","msg":"a setting that is seldom meant","flag":"--jwt-secret-file"`)
}

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
