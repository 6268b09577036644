package jetstream

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/hub/enginetest"
)

// If a store was restored from an older copy, or lost its newest events, no ID is assigned a second
// time in one epoch, and subscribers get a gap.
func TestOlderStoreBeginsNewEpoch(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		damage func(t *testing.T, store, earlier string)
		reason string
	}{
		{"whole directory", func(t *testing.T, store, earlier string) {
			require.NoError(t, os.RemoveAll(store))
			require.NoError(t, os.CopyFS(store, os.DirFS(earlier)))
		}, "the store is a copy"},
		{"server files only", func(t *testing.T, store, earlier string) {
			require.NoError(t, os.RemoveAll(filepath.Join(store, "jetstream")))
			require.NoError(t, os.CopyFS(filepath.Join(store, "jetstream"), os.DirFS(filepath.Join(earlier, "jetstream"))))
		}, "the log ends at 20, but events up to 40 were delivered"},
		{"the last block is truncated", func(t *testing.T, store, _ string) {
			cutLastBlock(t, store)
		}, "but events up to 40 were delivered"},
		{"server files deleted", func(t *testing.T, store, _ string) {
			require.NoError(t, os.RemoveAll(filepath.Join(store, "jetstream")))
		}, "the store contains another stream"},
	} {
		t.Run(row.name, func(t *testing.T) {
			cfg := Config{Store: filepath.Join(t.TempDir(), "store")}
			h, _ := startHub(t, cfg, hub.Retention{})
			_, err := h.Publish(t.Context(), many("kept", 20)...)
			require.NoError(t, err)
			require.NoError(t, h.Close())
			earlier := t.TempDir()
			require.NoError(t, os.CopyFS(earlier, os.DirFS(cfg.Store)))
			h, _ = startHub(t, cfg, hub.Retention{})
			last, err := h.Publish(t.Context(), many("lost", 20)...)
			require.NoError(t, err)
			require.NoError(t, h.Close())
			row.damage(t, cfg.Store, earlier)

			var logged logRecorder
			cfg.Logger = slog.New(slog.NewTextHandler(&logged, nil))
			h, _ = startHub(t, cfg, hub.Retention{})
			require.NotEqual(t, last.Epoch, h.Position().Epoch)
			require.Positive(t, logged.count(row.reason), logged.text.String())
			r := enginetest.Subscribe(t, h, hub.Request{Filters: enginetest.Set(t, ">"), Start: hub.Start{Cursor: &last}})
			next, err := h.Publish(t.Context(), many("new", 30)...)
			require.NoError(t, err)
			r.Until(next.Seq)
			require.Len(t, r.Gaps, 1)
			require.Equal(t, hub.GapEpoch, r.Gaps[0].Reason)
			require.Len(t, r.Events, int(next.Seq))
			require.NoError(t, h.Close())
			h, _ = startHub(t, cfg, hub.Retention{})
			require.Equal(t, next, h.Position(), "the next start keeps the new epoch")
		})
	}
}

// cutLastBlock truncates the file with the newest messages, as a disk fault may do, and deletes the
// server's index.
func cutLastBlock(t *testing.T, store string) {
	blocks, err := filepath.Glob(filepath.Join(store, "jetstream", "*", "streams", "*", "msgs", "*.blk"))
	require.NoError(t, err)
	require.NotEmpty(t, blocks)
	last := slices.Max(blocks)
	info, err := os.Stat(last)
	require.NoError(t, err)
	require.NoError(t, os.Truncate(last, info.Size()-70))
	require.NoError(t, os.Remove(filepath.Join(filepath.Dir(last), "index.db")))
}

// If the high-water file is invalid, the start fails and leaves the file unchanged.
func TestInvalidMarkFailsStart(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, dir, stateName, `{"version":1,"clean":true}`)
	writeFile(t, dir, markName, "x\n")
	_, err := newEngine(t, Config{Store: dir}).Start(func([]*hub.Event) {})
	require.ErrorContains(t, err, fmt.Sprintf("store: %s: want a sequence number", markName))
	content, err := os.ReadFile(filepath.Join(dir, markName))
	require.NoError(t, err)
	require.Equal(t, "x\n", string(content))
}

// TestStoreCopyIsRecognized checks that a copy is recognized by its lock file: by the inode, or by the
// creation time, because a copy may get the inode of a deleted original. Zero means that a value is
// unknown; it is not compared.
func TestStoreCopyIsRecognized(t *testing.T) {
	for _, row := range []struct {
		before, now state
		copied      bool
	}{
		{state{Lock: 1, LockBorn: 5}, state{Lock: 1, LockBorn: 5}, false},
		{state{Lock: 1, LockBorn: 5}, state{Lock: 2, LockBorn: 5}, true},
		{state{Lock: 1, LockBorn: 5}, state{Lock: 1, LockBorn: 6}, true},
		{state{Lock: 1}, state{Lock: 1, LockBorn: 6}, false},
		{state{Lock: 1, LockBorn: 5}, state{Lock: 1}, false},
		{state{}, state{Lock: 1, LockBorn: 6}, false},
	} {
		s := &store{previous: row.before, current: row.now}
		require.Equal(t, row.copied, s.isCopy(), "%+v", row)
	}
}
