package hubs

import (
	"net/http"
	"testing"

	natsd "github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/stats"
	"github.com/trivium-hub/trivium/hub/testkit"
)

// While the NATS server is down, the metrics, /stats and /readyz report that the engine is
// unavailable. The hub refuses and counts publishes. With the memory engine, the engine is always
// available.
func TestEngineUnavailable(t *testing.T) {
	t.Parallel()
	p := hubtest.Start(t, hubtest.Binary(t, append(hubtest.AnyPorts, "--auth", "none")...))
	p.HasMetrics("trivium_engine_up 1", "trivium_engine_refused_total 0")
	require.Equal(t, stats.Engine{Name: "memory", Up: true}, p.Stats().Engine)

	store := t.TempDir()
	start := func(port int) *natsd.Server {
		s, err := natsd.NewServer(&natsd.Options{
			Host: "127.0.0.1", Port: port, NoLog: true, NoSigs: true, JetStream: true, StoreDir: store, MaxPayload: 2 << 20,
		})
		require.NoError(t, err)
		s.Start()
		t.Cleanup(s.WaitForShutdown)
		t.Cleanup(s.Shutdown)
		require.True(t, s.ReadyForConnections(hubtest.Patience))
		return s
	}
	port := testkit.FreePorts(t, 1)[0]
	nats := start(port)
	url := nats.ClientURL()
	p = hubtest.Start(t, hubtest.Binary(t, append(hubtest.AnyPorts, "--auth", "none", "--engine", "nats", "--nats-url", url)...))
	p.Publish("application/json", `{"topic":"a","data":1}`)
	p.HasMetrics("trivium_engine_up 1", "trivium_engine_refused_total 0", "trivium_events_published_total 1",
		"trivium_log_first_seq 1", "trivium_log_last_seq 1", "trivium_log_events 1", "trivium_log_lag_events 0",
		`trivium_log_replicas{state="configured"} 1`, `trivium_log_replicas{state="current"} 1`)

	nats.Shutdown()
	nats.WaitForShutdown()
	p.HasMetrics("trivium_engine_up 0")
	status, _ := p.Request(http.MethodGet, "http://"+p.HTTP+"/readyz", "", "")
	require.Equal(t, http.StatusServiceUnavailable, status)
	status, text := p.Request(http.MethodPost, "http://"+p.HTTP+"/publish", "application/json", `[{"topic":"a","data":2},{"topic":"a","data":3}]`)
	require.Equal(t, http.StatusServiceUnavailable, status, text)
	p.Datagram(`{"topic":"a","data":4}`)
	p.HasMetrics("trivium_engine_up 0", "trivium_engine_refused_total 3", `trivium_udp_dropped_total{reason="engine"} 1`)
	engine := p.Stats().Engine
	require.NotNil(t, engine.Log)
	require.Equal(t, stats.Engine{Name: "nats", Refused: 3, Log: engine.Log}, engine)

	start(port)
	p.HasMetrics("trivium_engine_up 1", "trivium_engine_refused_total 3")
	p.Publish("application/json", `{"topic":"a","data":5}`)
}
