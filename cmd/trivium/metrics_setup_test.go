package main

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/decode"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
)

// TestLimitsAreMetrics checks that trivium_limit has every setting that limits clients or retention.
func TestLimitsAreMetrics(t *testing.T) {
	cfg := parseServe(t, nil, "--max-connections", "7", "--max-publish-rate", "0", "--retain-age", "90s")
	got := map[string]float64{}
	for _, l := range cfg.limits() {
		got[l.setting] = l.value
	}
	var limits struct{ LimitConfig }
	parser, err := kong.New(&limits, (&sources{}).options()...)
	require.NoError(t, err)
	for _, flag := range parser.Model.Flags {
		if flag.Name != "help" {
			require.Contains(t, got, flag.Name)
		}
	}
	require.EqualValues(t, 7, got["max-connections"])
	require.EqualValues(t, 4, got["max-connections-per-token"], "half of max-connections, rounded up")
	require.EqualValues(t, 90, got["retain-age"])
	require.Equal(t, "+Inf", fmt.Sprint(got["max-publish-rate"]))
}

// TestTrafficMetrics checks the metrics of opened connections, sources and bytes, and the latency histogram.
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
	for _, key := range []string{"k", "k"} { // the hub does not publish the second event
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

// TestReloadFailureMetrics checks that the metrics count each file that cannot be used, and that a
// gauge is set until the file is valid again.
func TestReloadFailureMetrics(t *testing.T) {
	t.Parallel()
	tokens := filepath.Join(t.TempDir(), "tokens.yaml")
	code, _, errs := runToken("alice", "--tokens", tokens, "--subscribe", ">")
	require.Zero(t, code, errs)
	good, err := os.ReadFile(tokens)
	require.NoError(t, err)
	p := hubtest.Start(t, hubtest.Program(t, nil, append(hubtest.AnyPorts, "--tokens", tokens)...))
	p.HasMetrics(`trivium_reload_failures_total{setting="tokens"} 0`, `trivium_reload_failed{setting="tokens"} 0`)
	require.NoError(t, os.WriteFile(tokens, []byte("tokens: 7\n"), 0o600))
	p.HasMetrics(`trivium_reload_failures_total{setting="tokens"} 1`, `trivium_reload_failed{setting="tokens"} 1`)
	require.NoError(t, os.WriteFile(tokens, good, 0o600))
	p.HasMetrics(`trivium_reload_failures_total{setting="tokens"} 1`, `trivium_reload_failed{setting="tokens"} 0`)
}

// TestCertificateExpiry checks that the metrics have the expiry of a certificate from the start,
// and that of a new certificate after a reload.
func TestCertificateExpiry(t *testing.T) {
	t.Parallel()
	cfg := pairIn(t.TempDir())
	write := cfg.write(t)
	var log logRecorder
	files := newWatcher(log.logger())
	year := time.Now().Add(365 * 24 * time.Hour).Truncate(time.Second).UTC()
	write(newCertificate(t, 1, year, "hub.example"))
	config, err := newTLS(&cfg.TLSConfig, files, log.logger())
	require.NoError(t, err)
	expiry := observeCertificates(config, false)
	require.Equal(t, map[string]time.Time{"hub.example": year}, expiry.byHost())
	startWatcher(t, files)
	write(newCertificate(t, 2, year.Add(time.Hour), "hub.example"))
	require.Eventually(t, func() bool { return expiry.byHost()["hub.example"].Equal(year.Add(time.Hour)) }, hubtest.Patience, 10*time.Millisecond)
	require.Empty(t, observeCertificates(nil, false).byHost())
}

// TestACMECertificateExpiry checks that the metrics have the expiry of an --acme certificate after
// the first handshake with it.
func TestACMECertificateExpiry(t *testing.T) {
	t.Parallel()
	year := time.Now().Add(365 * 24 * time.Hour).Truncate(time.Second).UTC()
	certificate, err := tls.X509KeyPair(newCertificate(t, 1, year, "hub.example"))
	require.NoError(t, err)
	config := &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &certificate, nil }}
	expiry := observeCertificates(config, true)
	require.Empty(t, expiry.byHost())
	_, err = config.GetCertificate(&tls.ClientHelloInfo{})
	require.NoError(t, err)
	require.Equal(t, map[string]time.Time{"hub.example": year}, expiry.byHost())
}
