//go:build unix

package main

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	natsd "github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"
)

// A hub that is started before NATS is live but not ready, and asks clients to retry. It becomes
// ready when NATS is available.
func TestServeWaitsForNATS(t *testing.T) {
	ports := freePorts(t, 3)
	cmd := binary(t, "serve", "--http", fmt.Sprint("127.0.0.1:", ports[0]), "--udp", "off", "--admin", fmt.Sprint("127.0.0.1:", ports[1]),
		"--auth", "none", "--log-format", "json", "--engine", "nats", "--nats-url", fmt.Sprint("nats://127.0.0.1:", ports[2]))
	pipe, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	client := &http.Client{Timeout: patience}
	p := &process{
		t: t, cmd: cmd, read: make(chan struct{}), client: client,
		http: fmt.Sprint("127.0.0.1:", ports[0]), admin: fmt.Sprint("127.0.0.1:", ports[1]),
	}
	go p.follow(pipe, make(chan map[string]string, 1))
	t.Cleanup(func() {
		client.CloseIdleConnections()
		_ = cmd.Process.Kill()
		<-p.read
		_ = cmd.Wait()
	})
	require.Eventually(t, func() bool {
		response, err := client.Get("http://" + p.http + "/healthz")
		if err != nil {
			return false
		}
		response.Body.Close()
		return response.StatusCode == http.StatusOK
	}, patience, 10*time.Millisecond, p.log)
	for _, url := range []string{p.http + "/readyz", p.http + "/poll", p.http + "/sse", p.http + "/publish/a", p.admin + "/metrics"} {
		status, text := p.request(http.MethodGet, "http://"+url, "", "")
		require.Equal(t, http.StatusServiceUnavailable, status, url)
		require.Contains(t, text, "the hub is starting: its engine is not available yet")
	}
	r, err := http.NewRequest(http.MethodGet, "http://"+p.http+"/sse", nil)
	require.NoError(t, err)
	r.Header.Set("Accept", "text/event-stream")
	response, err := client.Do(r)
	require.NoError(t, err)
	response.Body.Close()
	require.Equal(t, http.StatusOK, response.StatusCode, "an EventSource reconnects")
	require.Eventually(t, func() bool { return strings.Contains(p.log(), "NATS is unavailable; not ready, trying again") },
		patience, 10*time.Millisecond)

	nats, err := natsd.NewServer(&natsd.Options{
		Host: "127.0.0.1", Port: ports[2], NoLog: true, NoSigs: true, JetStream: true, StoreDir: t.TempDir(), MaxPayload: 2 << 20,
	})
	require.NoError(t, err)
	nats.Start()
	t.Cleanup(nats.WaitForShutdown)
	t.Cleanup(nats.Shutdown)
	require.Eventually(t, func() bool {
		status, _ := p.request(http.MethodGet, "http://"+p.http+"/readyz", "", "")
		return status == http.StatusOK
	}, patience, 20*time.Millisecond, p.log)
	p.publish("application/json", `{"topic":"a","data":1}`)
	p.hasMetrics("trivium_engine_up 1")
}

// At its start, a hub waits for NATS only for the configured time.
func TestEngineWait(t *testing.T) {
	ports := freePorts(t, 1)
	cmd := binary(t, append(anyPorts, "--engine", "nats", "--engine-wait", "1ms", "--nats-url", fmt.Sprint("nats://127.0.0.1:", ports[0]))...)
	var said bytes.Buffer
	cmd.Stderr = &said
	require.Error(t, cmd.Run())
	require.Equal(t, 1, cmd.ProcessState.ExitCode())
	require.Contains(t, said.String(), "NATS was not available within 1ms (--engine-wait)")
}
