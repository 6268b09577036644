package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/natstest"
)

// TestPSDoesNotShowSecrets reads the command line of a running hub as ps does, and requires that it
// does not contain the NATS password. The hub must still use the password, because the NATS server
// requires it.
func TestPSDoesNotShowSecrets(t *testing.T) {
	const user, password = "hub", "hunter2"
	server := natstest.Serve(t, func(o *natsserver.Options) { o.Username, o.Password = user, password })
	servers := strings.Replace(server.ClientURL(), "://", "://"+user+":"+password+"@", 1)
	for _, given := range [][]string{{"--nats-url", servers}, {"--nats-url=" + servers}} {
		p := hubtest.Start(t, hubtest.Binary(t, append(append(hubtest.AnyPorts, "--auth", "none", "--engine", "nats", "--log-format", "json", "--max-event-bytes", "64KiB"), given...)...))
		require.Contains(t, p.Log(), "which every user of this machine could see until the program hid it; set TRIVIUM_NATS_URL")
		require.NotContains(t, p.Log(), password)
		for _, name := range []string{"cmdline", "environ"} {
			path := filepath.Join("/proc", fmt.Sprint(p.Cmd.Process.Pid), name)
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			if name == "cmdline" {
				require.NotContains(t, string(text), password)
				require.Contains(t, string(text), "nats://***@127.0.0.1:")
				continue
			}
			require.Contains(t, string(text), password)
			info, err := os.Stat(path)
			require.NoError(t, err)
			require.Zero(t, info.Mode().Perm()&0o077, "only the hub's own user can read its environment")
		}
		status, text := p.Request(http.MethodGet, "http://"+p.Admin+"/debug/pprof/cmdline", "", "")
		require.Equal(t, http.StatusOK, status)
		require.NotContains(t, text, password)
		status, text = p.Request(http.MethodPost, "http://"+p.HTTP+"/publish/a", "", "1")
		require.Equal(t, http.StatusOK, status, text)
	}
}
