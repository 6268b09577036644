//go:build unix

package jetstream

import (
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/hub/enginetest"
)

// If a file of the store cannot be synced, the store is not marked as closed cleanly, because IDs could
// be assigned twice after a power loss. The test uses a pipe, which cannot be synced.
func TestFailedSyncLeavesStoreUnclean(t *testing.T) {
	t.Parallel()
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

// On a full disk, which the test simulates with a file size limit of 256 KiB, publishing is
// refused, the engine fails, and the store is not marked as closed cleanly. When there is space
// again, all acknowledged events are in the log.
func TestFullDiskFailsEngine(t *testing.T) {
	t.Parallel()
	const inChild = "TRIVIUM_TEST_FULL_DISK"
	if os.Getenv(inChild) == "" { // run in a child process, because the limit applies to the whole process and go test itself writes large files
		child := exec.Command(os.Args[0], "-test.run=^TestFullDiskFailsEngine$")
		child.Env = append(os.Environ(), inChild+"=1")
		out, err := child.CombinedOutput()
		require.NoError(t, err, "%s", out)
		return
	}
	signal.Ignore(syscall.SIGXFSZ) // otherwise the signal would end the process
	cfg := Config{Store: t.TempDir()}
	h, e := startHub(t, cfg, hub.Retention{})
	var before syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before))
	room := before
	room.Cur = 256 << 10
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &room))
	unlimit := func() { require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before)) }
	defer unlimit()
	var last hub.Cursor
	var err error
	for err == nil {
		var next hub.Cursor
		if next, err = h.Publish(t.Context(), &hub.Event{Topic: "a", Encoding: hub.Binary, Data: make([]byte, 10<<10)}); err == nil {
			last = next
		}
	}
	require.ErrorIs(t, err, hub.ErrUnavailable)
	select {
	case err := <-e.Failed():
		require.ErrorContains(t, err, "has stopped writing")
	case <-time.After(enginetest.Patience):
		require.FailNow(t, "the engine did not report the full disk")
	}
	require.ErrorIs(t, e.Ready(), hub.ErrUnavailable)
	require.NoError(t, h.Close())
	left, err := readState(cfg.Store)
	require.NoError(t, err)
	require.False(t, left.Clean)
	unlimit()
	h, _ = startHub(t, cfg, hub.Retention{})
	r := enginetest.Subscribe(t, h, hub.Request{Filters: enginetest.Set(t, ">"), Start: hub.Start{Cursor: &hub.Cursor{Epoch: last.Epoch}}})
	r.Until(last.Seq)
	require.Empty(t, r.Gaps)
	require.GreaterOrEqual(t, len(r.Events), int(last.Seq))
}
