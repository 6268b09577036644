//go:build unix

package wasmdemo

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// stubborn is a toolchain that ignores interrupts, and that starts another process.
const stubborn = `#!/bin/sh
trap '' INT
sleep 1000 &
echo $! $$ >"$0.started"
mv "$0.started" "$0.pids"
wait
`

// TestBuildEnds checks that the toolchain and all processes that it has started end when the
// context of Run ends.
func TestBuildEnds(t *testing.T) {
	bin := t.TempDir()
	tool := filepath.Join(bin, "go")
	require.NoError(t, os.WriteFile(tool, []byte(stubborn), 0o755))
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	t.Setenv("TMPDIR", t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var log bytes.Buffer
	d := New(Config{Checkout: fakeCheckout(t, goodMod, emptyApp), Log: slog.New(slog.NewTextHandler(&log, nil))})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		d.Run(ctx)
	}()
	var pids []string
	require.Eventually(t, func() bool {
		text, err := os.ReadFile(tool + ".pids")
		pids = strings.Fields(string(text))
		return err == nil
	}, patience, 10*time.Millisecond)
	cancel()
	select {
	case <-ended:
	case <-time.After(patience):
		t.Fatal("Run did not return after its context ended")
	}
	require.Len(t, pids, 2)
	for _, text := range pids {
		pid, err := strconv.Atoi(text)
		require.NoError(t, err)
		// A process whose parent has ended is a zombie until init waits for it.
		require.Eventually(t, func() bool { return !alive(pid) }, patience, 10*time.Millisecond, "process %d is still running", pid)
	}
	state, _ := d.State()
	require.Equal(t, Failed, state)
	require.Empty(t, log.String(), "a canceled build logs nothing")
	left, err := os.ReadDir(os.Getenv("TMPDIR"))
	require.NoError(t, err)
	require.Empty(t, left)
}

// alive reports whether a process is running. A zombie is not.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err != nil || !strings.Contains(string(stat), ") Z ")
}
