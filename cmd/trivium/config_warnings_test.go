package main

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/settings"
)

// TestWarnsOfReadableSecrets checks that there is a warning for each file with a secret that every user
// of the machine may read, and that a hub logs the warning when it starts.
func TestWarnsOfReadableSecrets(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // Windows has no permission bits for other users
	}
	secret := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(secret, []byte(strings.Repeat("x", 32)), 0o600))
	args := []string{"--jwt-secret-file", secret, "--udp-secret-file", secret}
	require.Empty(t, parseServe(t, nil, args...).Warnings())
	require.NoError(t, os.Chmod(secret, 0o640))
	require.Empty(t, parseServe(t, nil, args...).Warnings())
	require.NoError(t, os.Chmod(secret, 0o644))
	detail := "every user of this machine can read " + secret + "; run chmod o-r on it"
	require.Equal(t, []settings.Fault{{Setting: "--jwt-secret-file", Detail: detail}, {Setting: "--udp-secret-file", Detail: detail}}, parseServe(t, nil, args...).Warnings())
	p := hubtest.Start(t, hubtest.Program(t, nil, append(hubtest.AnyPorts, args...)...))
	require.Contains(t, p.Log(), `"level":"WARN","msg":"a setting is probably a mistake","flag":"--jwt-secret-file"`)
}
