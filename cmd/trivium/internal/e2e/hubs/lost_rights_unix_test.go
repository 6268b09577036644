//go:build unix

package hubs

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/natstest"
	"github.com/trivium-hub/trivium/hub/testkit"
)

// TestReadinessNamesLostRight takes the permission to publish from the hub's NATS user. /readyz must
// then answer with an error that names the permission. After the permission is granted again, the hub
// must become ready and accept events.
func TestReadinessNamesLostRight(t *testing.T) {
	t.Parallel()
	place := natstest.Place{Name: "n", Port: testkit.FreePorts(t, 1)[0], Store: t.TempDir(), Rights: filepath.Join(t.TempDir(), "denied.json")}
	deny := func(subjects ...string) {
		text, err := json.Marshal(subjects)
		require.NoError(t, err)
		hubtest.ReplaceFile(t, place.Rights, string(text))
	}
	deny()
	server := natstest.Start(t, place)
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	p := hubtest.Start(t, hubtest.Binary(t, append(hubtest.AnyPorts, "--auth", "none", "--engine", "nats", "--replicas", "1",
		"--nats-url", fmt.Sprintf("nats://%s127.0.0.1:%d", place.User(natstest.HubUser), place.Port))...))
	ready := func(wanted int, detail string) func() bool {
		return func() bool {
			status, text := p.Request(http.MethodGet, "http://"+p.HTTP+"/readyz", "", "")
			return status == wanted && strings.Contains(text, detail)
		}
	}
	require.Eventually(t, ready(200, ""), hubtest.Patience, 10*time.Millisecond)
	deny("trivium.>")
	require.NoError(t, server.Process.Signal(syscall.SIGHUP))
	require.Eventually(t, ready(503, `the NATS user may not publish to \"trivium.$none\"`), hubtest.Patience, 10*time.Millisecond)
	status, _ := p.Request(http.MethodPost, "http://"+p.HTTP+"/publish", "application/json", `{"topic":"a","data":1}`)
	require.Equal(t, 503, status)
	deny()
	require.NoError(t, server.Process.Signal(syscall.SIGHUP))
	require.Eventually(t, ready(200, ""), hubtest.Patience, 10*time.Millisecond)
	p.Publish("application/json", `{"topic":"a","data":1}`)
}
