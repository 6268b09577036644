//go:build unix

package hubs

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	natsd "github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
	"github.com/trivium-hub/trivium/hub/testkit"
)

// serveUnready starts a hub with the engine nats, and waits until /healthz reports that the process is live. It does not
// wait until the hub is ready. natsPort is the port of the NATS server, which need not run.
func serveUnready(t *testing.T, natsPort int) *hubtest.Process {
	t.Helper()
	ports := testkit.FreePorts(t, 2)
	cmd := hubtest.Binary(t, "serve", "--http", fmt.Sprint("127.0.0.1:", ports[0]), "--udp", "off", "--admin", fmt.Sprint("127.0.0.1:", ports[1]),
		"--auth", "none", "--log-format", "json", "--engine", "nats", "--nats-url", fmt.Sprint("nats://127.0.0.1:", natsPort))
	p := hubtest.Launch(t, cmd)
	p.HTTP, p.Admin = fmt.Sprint("127.0.0.1:", ports[0]), fmt.Sprint("127.0.0.1:", ports[1])
	require.Eventually(t, func() bool {
		response, err := p.Client.Get("http://" + p.HTTP + "/healthz")
		if err != nil {
			return false
		}
		response.Body.Close()
		return response.StatusCode == http.StatusOK
	}, hubtest.Patience, 10*time.Millisecond, p.Log)
	return p
}

// A hub that is started before NATS is live but not ready, and answers requests so that clients retry
// later. It becomes ready when NATS is available.
func TestServeWaitsForNATS(t *testing.T) {
	t.Parallel()
	natsPort := testkit.FreePorts(t, 1)[0]
	p := serveUnready(t, natsPort)
	for _, url := range []string{p.HTTP + "/readyz", p.HTTP + "/poll", p.HTTP + "/sse", p.HTTP + "/publish/a", p.Admin + "/metrics"} {
		status, text := p.Request(http.MethodGet, "http://"+url, "", "")
		require.Equal(t, http.StatusServiceUnavailable, status, url)
		require.Contains(t, text, "the hub is starting: its engine is not available yet")
	}
	r, err := http.NewRequest(http.MethodGet, "http://"+p.HTTP+"/sse", nil)
	require.NoError(t, err)
	r.Header.Set("Accept", "text/event-stream")
	response, err := p.Client.Do(r)
	require.NoError(t, err)
	response.Body.Close()
	require.Equal(t, http.StatusOK, response.StatusCode, "an EventSource gets status 200, after which it reconnects")
	require.Eventually(t, func() bool {
		return strings.Contains(p.Log(), "NATS is unavailable; the hub is not ready, and tries again")
	}, hubtest.Patience, 10*time.Millisecond)

	nats, err := natsd.NewServer(&natsd.Options{
		Host: "127.0.0.1", Port: natsPort, NoLog: true, NoSigs: true, JetStream: true, StoreDir: t.TempDir(), MaxPayload: 2 << 20,
	})
	require.NoError(t, err)
	nats.Start()
	t.Cleanup(nats.WaitForShutdown)
	t.Cleanup(nats.Shutdown)
	require.Eventually(t, func() bool {
		status, _ := p.Request(http.MethodGet, "http://"+p.HTTP+"/readyz", "", "")
		return status == http.StatusOK
	}, hubtest.Patience, 20*time.Millisecond, p.Log)
	p.Publish("application/json", `{"topic":"a","data":1}`)
	p.HasMetrics("trivium_engine_up 1")
}

// A hub that is started without NATS waits for the time of --engine-wait, and then exits with an error.
func TestEngineWait(t *testing.T) {
	t.Parallel()
	ports := testkit.FreePorts(t, 1)
	for _, wait := range []time.Duration{time.Millisecond, 2 * time.Second} {
		cmd := hubtest.Binary(t, append(hubtest.AnyPorts, "--engine", "nats", "--engine-wait", wait.String(), "--nats-url", fmt.Sprint("nats://127.0.0.1:", ports[0]))...)
		var said bytes.Buffer
		cmd.Stderr = &said
		begin := time.Now()
		require.Error(t, cmd.Run())
		require.GreaterOrEqual(t, time.Since(begin), wait)
		require.Equal(t, 1, cmd.ProcessState.ExitCode())
		require.Contains(t, said.String(), fmt.Sprintf("NATS was not available within %v (--engine-wait)", wait))
	}
}
