//go:build unix

package jetstream

import (
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub"
)

// TestNotOnDisk: a store of which something could not be written to disk is not said to be in order, or a
// power loss after that would have IDs given twice. A pipe is what cannot.
func TestNotOnDisk(t *testing.T) {
	dir := t.TempDir()
	e := newEngine(t, Config{Store: dir})
	_, err := e.Start(func([]*hub.Event) {})
	require.NoError(t, err)
	_, err = e.Publish(t.Context(), []*hub.Event{one("a")})
	require.NoError(t, err)
	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "jetstream", "pipe"), 0o600))
	require.ErrorContains(t, e.Close(), "sync")
	left, err := readState(dir)
	require.NoError(t, err)
	require.False(t, left.Clean)
}
