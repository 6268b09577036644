package jetstream

import (
	"bytes"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/hub/enginetest"
)

// A backup that is made while events are published contains all events that were stored before the
// backup began. A restored store begins a new epoch. Restore creates no store from a damaged or
// truncated backup.
func TestBackupAndRestore(t *testing.T) {
	if testing.Short() {
		t.Skip("filling a log takes a long time")
	}
	t.Parallel()
	h, e := startHub(t, Config{Store: t.TempDir()}, hub.Retention{})
	var last hub.Cursor
	var err error
	for range 20 {
		last, err = h.PublishEach(t.Context(), many("a", 1000)...)
		require.NoError(t, err)
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				_, _ = h.PublishEach(t.Context(), many("meanwhile", 100)...)
			}
		}
	}()
	var backup bytes.Buffer
	require.NoError(t, e.Backup(t.Context(), &backup))
	close(stop)
	<-stopped

	store := filepath.Join(t.TempDir(), "restored")
	require.NoError(t, Restore(t.Context(), store, bytes.NewReader(backup.Bytes())))
	restored, _ := startHub(t, Config{Store: store}, hub.Retention{})
	require.NotEqual(t, last.Epoch, restored.Position().Epoch)
	require.GreaterOrEqual(t, restored.Position().Seq, last.Seq)
	r := enginetest.Subscribe(t, restored, hub.Request{Filters: enginetest.Set(t, "a"), Start: hub.Start{Cursor: &last}})
	r.Until(restored.Position().Seq)
	require.Len(t, r.Gaps, 1)
	require.Equal(t, hub.GapEpoch, r.Gaps[0].Reason)
	require.Len(t, r.Events, 20_000)
	_, err = restored.Publish(t.Context(), one("a"))
	require.NoError(t, err)

	whole := backup.Bytes()
	flipped := bytes.Clone(whole)
	flipped[len(flipped)/2] ^= 1
	for name, bad := range map[string][]byte{
		"truncated": whole[:len(whole)/2], "damaged": flipped, "not a backup": []byte("{}\n"), "the first line is too long or incomplete": nil,
	} {
		dir := filepath.Join(t.TempDir(), "bad")
		require.ErrorContains(t, Restore(t.Context(), dir, bytes.NewReader(bad)), name)
		require.NoFileExists(t, filepath.Join(dir, stateName), name)
	}
	require.ErrorContains(t, Restore(t.Context(), store, bytes.NewReader(whole)), "is not empty")
}
