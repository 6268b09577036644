package main

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/settings"
)

// controlText is a string that would control a terminal or forge a log line if it were printed
// without escaping.
const controlText = "\x1b]0;title\x07\x1b[2J\u009b31m\u202e\r\nforged\x7f"

// The commands pub and sub escape control characters in a hub's answers before they print them.
func TestHubAnswersCannotControlTerminal(t *testing.T) {
	text, err := json.Marshal(map[string]any{"type": "urn:trivium:problem:forbidden", "status": 403, "title": controlText, "detail": controlText, "parameter": controlText})
	require.NoError(t, err)
	check := func(kind string, status int, body string, args ...string) {
		hub := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.Header().Set("Retry-After", "\u009b31m")
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}))
		defer hub.Close()
		out, _ := hubtest.Program(t, nil, append(args, "--url", hub.URL)...).CombinedOutput() // other tests check the exit code
		require.Contains(t, string(out), `forged`)
		for line := range strings.Lines(string(out)) {
			line = strings.TrimSuffix(line, "\n")
			require.False(t, strings.ContainsFunc(line, func(r rune) bool { return r == '\u202e' || unicode.IsControl(r) }), "%q", line)
			require.False(t, strings.HasPrefix(line, "forged"))
		}
	}
	refused := func(args ...string) { check("application/problem+json", http.StatusForbidden, string(text), args...) }
	refused("pub", "a", "1")
	for _, transport := range []string{"sse", "longpoll", "websocket"} {
		refused("sub", "--transport", transport, "a")
	}
	// This answer contains an ID, which pub prints on standard output.
	done, err := json.Marshal(map[string]any{"id": controlText, "count": 1})
	require.NoError(t, err)
	check("application/json", http.StatusOK, string(done), "pub", "a", "1")
}

// Log lines escape characters that are valid in JSON but control a terminal.
func TestLogCannotControlTerminal(t *testing.T) {
	for _, format := range []string{"json", "text"} {
		var out bytes.Buffer
		c := &settings.ServeConfig{LogFormat: format}
		c.NewLogger(&out).With("more", controlText).Info(controlText, "error", controlText, slog.Group("g", "x", controlText))
		line := strings.TrimSuffix(out.String(), "\n")
		require.False(t, strings.ContainsFunc(line, func(r rune) bool { return r == '\u202e' || unicode.IsControl(r) }), "%q", line)
		require.Equal(t, format == "json", json.Valid([]byte(line)))
	}
}
