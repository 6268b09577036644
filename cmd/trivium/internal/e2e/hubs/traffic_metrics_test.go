package hubs

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/decode"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
)

// TestTrafficMetrics checks the metrics of opened connections, of published events by source, of sent bytes, and of the
// delivery latency.
func TestTrafficMetrics(t *testing.T) {
	t.Parallel()
	p := hubtest.Start(t, hubtest.Program(t, nil, hubtest.AnyPorts...))
	p.HasMetrics(`trivium_published_total{source="http"} 0`, `trivium_published_total{source="udp"} 0`,
		`trivium_connections_opened_total{transport="sse"} 0`, `trivium_sent_bytes_total{transport="sse"} 0`,
		"trivium_delivery_latency_seconds_count 0", `trivium_limit{setting="max-event-bytes"} 1.048576e+06`)
	_, text := p.Request(http.MethodGet, "http://"+p.Admin+"/metrics", "", "")
	require.Regexp(t, `\ntrivium_build_info\{goversion="go1\.[^"]+",revision="[^"]*",version="[^"]+"\} 1\n`, text)

	stream := p.SSE("topic=a")
	socket := p.WebSocket("topic=a")
	p.Publish("application/json", `[{"topic":"a","data":1},{"topic":"a","data":2}]`)
	for range 2 {
		_, err := stream.Next()
		require.NoError(t, err)
	}
	for _, key := range []string{"k", "k"} { // the hub acknowledges the second event without publishing it, because it has the same key
		require.NoError(t, socket.Write(t.Context(), websocket.MessageText,
			[]byte(`{"op":"publish","idempotency_key":"`+key+`","topic":"b","data":3,"ref":"p1"}`)))
		for p.Message(socket).Op != decode.OpAck {
		}
	}
	p.Datagram(`{"topic":"b","data":4}`)
	p.Poll("topic=a&last=1&wait=0")
	p.HasMetrics(`trivium_published_total{source="http"} 2`, `trivium_published_total{source="websocket"} 1`,
		`trivium_published_total{source="udp"} 1`, `trivium_connections_opened_total{transport="sse"} 1`,
		`trivium_connections_opened_total{transport="websocket"} 1`, `trivium_connections_opened_total{transport="longpoll"} 1`)
	s := p.Stats()
	require.NotZero(t, s.Latency.Count)
	for _, transport := range []string{"sse", "websocket", "longpoll"} {
		require.Greater(t, s.Transports[transport].Bytes, uint64(20), transport)
	}
}

// TestReloadFailureMetrics checks that one metric counts each reload of an invalid file, and that
// another metric is 1 until the file is valid again.
func TestReloadFailureMetrics(t *testing.T) {
	t.Parallel()
	tokens := filepath.Join(t.TempDir(), "tokens.yaml")
	hubtest.NewToken(t, "alice", "--tokens", tokens, "--subscribe", ">")
	good, err := os.ReadFile(tokens)
	require.NoError(t, err)
	p := hubtest.Start(t, hubtest.Program(t, nil, append(hubtest.AnyPorts, "--tokens", tokens)...))
	p.HasMetrics(`trivium_reload_failures_total{setting="tokens"} 0`, `trivium_reload_failed{setting="tokens"} 0`)
	hubtest.ReplaceFile(t, tokens, "tokens: 7\n")
	p.HasMetrics(`trivium_reload_failures_total{setting="tokens"} 1`, `trivium_reload_failed{setting="tokens"} 1`)
	hubtest.ReplaceFile(t, tokens, string(good))
	p.HasMetrics(`trivium_reload_failures_total{setting="tokens"} 1`, `trivium_reload_failed{setting="tokens"} 0`)
}
