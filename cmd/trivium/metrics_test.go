package main

import (
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	natsd "github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"
)

// hasMetrics waits until /metrics contains the lines.
func (p *process) hasMetrics(lines ...string) {
	p.t.Helper()
	var text string
	require.Eventually(p.t, func() bool {
		_, text = p.request(http.MethodGet, "http://"+p.admin+"/metrics", "", "")
		for _, line := range lines {
			if !strings.Contains("\n"+text, "\n"+line+"\n") {
				return false
			}
		}
		return true
	}, patience, 20*time.Millisecond, "want %q", lines)
}

// While a NATS server is down, the metrics, /stats and /readyz report it, and publishes are refused
// and counted. With the memory engine this never happens.
func TestEngineUnavailable(t *testing.T) {
	p := serve(t, binary(t, append(anyPorts, "--auth", "none")...))
	p.hasMetrics("trivium_engine_up 1", "trivium_engine_refused_total 0")
	require.Equal(t, engineStats{Name: "memory", Up: true}, p.stats().Engine)

	store := t.TempDir()
	start := func(port int) *natsd.Server {
		s, err := natsd.NewServer(&natsd.Options{
			Host: "127.0.0.1", Port: port, NoLog: true, NoSigs: true, JetStream: true, StoreDir: store, MaxPayload: 2 << 20,
		})
		require.NoError(t, err)
		s.Start()
		t.Cleanup(s.WaitForShutdown)
		t.Cleanup(s.Shutdown)
		require.True(t, s.ReadyForConnections(patience))
		return s
	}
	nats := start(natsd.RANDOM_PORT)
	url := nats.ClientURL()
	p = serve(t, binary(t, append(anyPorts, "--auth", "none", "--engine", "nats", "--nats-url", url)...))
	p.publish("application/json", `{"topic":"a","data":1}`)
	p.hasMetrics("trivium_engine_up 1", "trivium_engine_refused_total 0", "trivium_events_published_total 1",
		"trivium_log_first_seq 1", "trivium_log_last_seq 1", "trivium_log_events 1", "trivium_log_lag_events 0",
		`trivium_log_replicas{state="configured"} 1`, `trivium_log_replicas{state="current"} 1`)

	port := nats.Addr().(*net.TCPAddr).Port
	nats.Shutdown()
	nats.WaitForShutdown()
	p.hasMetrics("trivium_engine_up 0")
	status, _ := p.request(http.MethodGet, "http://"+p.http+"/readyz", "", "")
	require.Equal(t, http.StatusServiceUnavailable, status)
	status, text := p.request(http.MethodPost, "http://"+p.http+"/publish", "application/json", `[{"topic":"a","data":2},{"topic":"a","data":3}]`)
	require.Equal(t, http.StatusServiceUnavailable, status, text)
	p.datagram(`{"topic":"a","data":4}`)
	p.hasMetrics("trivium_engine_up 0", "trivium_engine_refused_total 3", `trivium_udp_dropped_total{reason="engine"} 1`)
	stats := p.stats().Engine
	require.NotNil(t, stats.Log)
	require.Equal(t, engineStats{Name: "nats", Refused: 3, Log: stats.Log}, stats)

	start(port)
	p.hasMetrics("trivium_engine_up 1", "trivium_engine_refused_total 3")
	p.publish("application/json", `{"topic":"a","data":5}`)
}
