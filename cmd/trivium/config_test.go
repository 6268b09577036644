package main

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/settings"
	"github.com/trivium-hub/trivium/transports"
)

// parseServe parses settings as the command serve does, and requires that they have no faults.
func parseServe(t *testing.T, env map[string]string, args ...string) *settings.ServeConfig {
	t.Helper()
	var cli commands
	sources := settings.NewSources(func(name string) (string, bool) {
		text, ok := env[name]
		return text, ok
	})
	parser, err := kong.New(&cli, append(sources.Options(), kong.Writers(io.Discard, io.Discard))...)
	require.NoError(t, err)
	ctx, err := parser.Parse(append([]string{"serve"}, args...))
	require.NoError(t, err)
	require.Empty(t, sources.Complaints(ctx, cli.Serve.check()))
	return &cli.Serve.ServeConfig
}

func TestDefaults(t *testing.T) {
	require.Equal(t, &settings.ServeConfig{
		HTTP:      "127.0.0.1:3000",
		UDP:       "127.0.0.1:3000",
		Admin:     "127.0.0.1:3002",
		Auth:      "token",
		Demo:      true,
		TLSConfig: settings.TLSConfig{HSTS: 24 * time.Hour},
		AccessConfig: settings.AccessConfig{
			JWTLeeway: time.Minute,
		},
		LimitConfig: settings.LimitConfig{
			MaxConnections: 100000, MaxConnectionsPerToken: -50,
			MaxTopics:           64,
			MaxEventBytes:       1 << 20,
			MaxHeaderBytes:      16 << 10,
			ReadTimeout:         10 * time.Second,
			MaxMessageBytes:     64 << 10,
			MaxMessageRate:      100,
			MaxMessageFragments: 1024,
			MaxFilterBytes:      128 << 20, MaxFilterBytesPerToken: 32 << 20,
		},
		WriteTimeout: 10 * time.Second,
		Heartbeat:    15 * time.Second,
		Drain:        8 * time.Second,
		SSEEnd:       "cut",

		CloudEventsSource: transports.DefaultCloudEventsSource,

		Slow: "gap",
		EngineConfig: settings.EngineConfig{
			Engine: "memory", Sync: "interval", NATSStream: "trivium", Replicas: 1,
		},
		RetainEvents: 65536,
		RetainBytes:  64 << 20,
		RetainAge:    10 * time.Minute,
		GapTopics:    65536,
		UDPFormat:    "auto",
		UDPTopic:     "events",
		UDPSkew:      30 * time.Second,
		LogLevel:     slog.LevelInfo,
	}, parseServe(t, nil))
}

// TestPrecedence sets each kind of value in a file, then also in the environment, and then also by a
// flag. The environment must override the file, and the flag must override both.
func TestPrecedence(t *testing.T) {
	path := filepath.Join(t.TempDir(), "trivium.yaml")
	require.NoError(t, os.WriteFile(path, []byte(
		"udp: off\nhost:\n  - file.example\n  - b.example\nmax-topics: 1\nmax-event-bytes: 1KiB\nheartbeat: 1s\n"+
			"ws-compression: on\nlog-level: debug\n"), 0o600))
	env := map[string]string{
		"TRIVIUM_CONFIG": path,
	}
	type values struct {
		UDP           string
		Host          []string
		MaxTopics     int
		MaxEventBytes settings.Size
		Heartbeat     time.Duration
		WSCompression bool
		LogLevel      slog.Level
	}
	read := func(args ...string) values {
		c := parseServe(t, env, args...)
		return values{c.UDP, c.Host, c.MaxTopics, c.MaxEventBytes, c.Heartbeat, c.WSCompression, c.LogLevel}
	}
	require.Equal(t, values{
		"", []string{"file.example", "b.example"}, 1, 1 << 10, time.Second, true, slog.LevelDebug,
	}, read())

	env["TRIVIUM_UDP"] = "127.0.0.1:2"
	env["TRIVIUM_HOST"] = "env.example, c.example"
	env["TRIVIUM_MAX_TOPICS"] = "2"
	env["TRIVIUM_MAX_EVENT_BYTES"] = "2000"
	env["TRIVIUM_HEARTBEAT"] = "2s"
	env["TRIVIUM_WS_COMPRESSION"] = "false"
	env["TRIVIUM_LOG_LEVEL"] = "WARN"
	require.Equal(t, values{
		"127.0.0.1:2", []string{"env.example", "c.example"}, 2, 2000, 2 * time.Second, false, slog.LevelWarn,
	}, read())

	require.Equal(t, values{
		"127.0.0.1:3", []string{"d.example", "e.example"}, 3, 3e6, 3 * time.Second, true, slog.LevelError,
	}, read("--udp", "127.0.0.1:3", "--host", "d.example", "--host=e.example", "--max-topics=3",
		"--max-event-bytes", "3 mb", "--heartbeat", "3s", "--ws-compression", "--log-level=error"))
}

func TestLogger(t *testing.T) {
	tests := []struct {
		format string
		want   string
	}{
		{"text", "level=WARN msg=loud\n"},
		{"json", `{"level":"WARN","msg":"loud"}` + "\n"},
		{"", `{"level":"WARN","msg":"loud"}` + "\n"}, // the output is not a terminal, so the format is JSON
	}
	for _, tt := range tests {
		t.Run(tt.format, func(t *testing.T) {
			var out bytes.Buffer
			c := &settings.ServeConfig{LogLevel: slog.LevelWarn, LogFormat: tt.format}
			logger := c.NewLogger(&out)
			require.False(t, logger.Enabled(t.Context(), slog.LevelInfo))
			record := slog.NewRecord(time.Time{}, slog.LevelWarn, "loud", 0) // without a time, so that the output is always the same
			require.NoError(t, logger.Handler().Handle(t.Context(), record))
			require.Equal(t, tt.want, out.String())
		})
	}
}

// TestLimitsAreMetrics checks that Limits, from which the metric trivium_limit is made, includes every
// setting in LimitConfig.
func TestLimitsAreMetrics(t *testing.T) {
	cfg := parseServe(t, nil, "--max-connections", "7", "--max-publish-rate", "0", "--retain-age", "90s")
	got := map[string]float64{}
	for _, l := range cfg.Limits() {
		got[l.Setting] = l.Value
	}
	var limits struct{ settings.LimitConfig }
	parser, err := kong.New(&limits, (&settings.Sources{}).Options()...)
	require.NoError(t, err)
	for _, flag := range parser.Model.Flags {
		if flag.Name != "help" {
			require.Contains(t, got, flag.Name)
		}
	}
	require.EqualValues(t, 7, got["max-connections"])
	require.EqualValues(t, 4, got["max-connections-per-token"], "the default is half of max-connections, rounded up")
	require.EqualValues(t, 90, got["retain-age"])
	require.Equal(t, "+Inf", fmt.Sprint(got["max-publish-rate"]))
}
