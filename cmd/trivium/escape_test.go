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
)

// harmful is what a hub or a proxy may send to change a terminal, or to forge a line of its own.
const harmful = "\x1b]0;title\x07\x1b[2J\u009b31m\u202e\r\nforged\x7f"

// TestRefusalsAreShownHarmless: what pub, sub and bench print of a hub's answer does no more than be
// shown.
func TestRefusalsAreShownHarmless(t *testing.T) {
	text, err := json.Marshal(map[string]any{"status": 403, "title": harmful, "detail": harmful, "parameter": harmful})
	require.NoError(t, err)
	kind, status, body := "application/problem+json", http.StatusForbidden, string(text)
	hub := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Retry-After", "\u009b31m")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	defer hub.Close()
	check := func(args ...string) {
		out, _ := program(t, nil, append(args, "--url", hub.URL)...).CombinedOutput() // its exit code is for others
		require.Contains(t, string(out), `forged`)
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		for _, line := range lines {
			require.False(t, strings.ContainsFunc(line, func(r rune) bool { return r == '\u202e' || unicode.IsControl(r) }), "%q", line)
			require.False(t, strings.HasPrefix(line, "forged"))
		}
	}
	check("pub", "a", "1")
	for _, transport := range []string{"sse", "longpoll", "websocket"} {
		check("sub", "--transport", transport, "a")
	}
	// An id is printed on standard output.
	done, err := json.Marshal(map[string]any{"id": harmful, "count": 1})
	require.NoError(t, err)
	kind, status, body = "application/json", http.StatusOK, string(done)
	check("pub", "a", "1")
}

// TestLogIsHarmless: what JSON lets stand as it is, a terminal that shows the log may obey.
func TestLogIsHarmless(t *testing.T) {
	for _, format := range []string{"json", "text"} {
		var out bytes.Buffer
		c := &ServeConfig{LogFormat: format}
		c.newLogger(&out).With("more", harmful).Info(harmful, "error", harmful, slog.Group("g", "x", harmful))
		line := strings.TrimSuffix(out.String(), "\n")
		require.False(t, strings.ContainsFunc(line, func(r rune) bool { return r == '\u202e' || unicode.IsControl(r) }), "%q", line)
		require.Equal(t, format == "json", json.Valid([]byte(line)))
	}
}
