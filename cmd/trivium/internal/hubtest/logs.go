package hubtest

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// LogRecorder is an io.Writer that records the log lines written to it.
type LogRecorder struct {
	mu    sync.Mutex
	lines bytes.Buffer
}

// Write implements io.Writer.
func (l *LogRecorder) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines.Write(p)
}

// Logger returns a logger that records all levels.
func (l *LogRecorder) Logger() *slog.Logger {
	return slog.New(slog.NewJSONHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// Take returns the log lines that were recorded since the previous call of Take. Each returned line contains
// only the level, the flag, the base name of the path and the error. A missing path is replaced by ".".
func (l *LogRecorder) Take(t *testing.T) (all []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.lines.String()) {
		var entry struct{ Level, Flag, Path, Error string }
		require.NoError(t, json.Unmarshal([]byte(line), &entry))
		all = append(all, strings.TrimSpace(strings.Join([]string{entry.Level, entry.Flag, filepath.Base(entry.Path), entry.Error}, " ")))
	}
	l.lines.Reset()
	return all
}

// RunUntilEnd calls run in a goroutine. At the end of the test, it cancels the context and waits until run has returned.
func RunUntilEnd(t *testing.T, run func(context.Context)) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
}

// WriteFile writes a file that only the user may read.
func WriteFile(t *testing.T, path, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
}

// ReplaceFile is like WriteFile, but replaces the file atomically, so that a program that watches the
// file never reads only a part of the content.
func ReplaceFile(t *testing.T, path, text string) {
	t.Helper()
	draft := path + ".draft"
	WriteFile(t, draft, text)
	require.NoError(t, os.Rename(draft, path))
}
