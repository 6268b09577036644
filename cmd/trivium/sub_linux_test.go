package main

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
)

// openTerminal opens a pseudo-terminal. It returns the end that a command uses as its terminal, and a
// function that returns everything that was written to this end.
func openTerminal(t *testing.T) (inside *os.File, shown func() string) {
	t.Helper()
	outside, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	require.NoError(t, err)
	t.Cleanup(func() { outside.Close() })
	require.NoError(t, unix.IoctlSetPointerInt(int(outside.Fd()), unix.TIOCSPTLCK, 0))
	number, err := unix.IoctlGetInt(int(outside.Fd()), unix.TIOCGPTN)
	require.NoError(t, err)
	require.NoError(t, unix.IoctlSetWinsize(int(outside.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 40}))
	inside, err = os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	var mu sync.Mutex
	var text strings.Builder
	read := make(chan struct{})
	go func() {
		defer close(read)
		for buf := make([]byte, 4096); ; {
			n, err := outside.Read(buf)
			mu.Lock()
			text.Write(buf[:n])
			mu.Unlock()
			if err != nil {
				return // the command's end of the pseudo-terminal is closed
			}
		}
	}()
	t.Cleanup(func() { inside.Close(); <-read })
	return inside, func() string {
		mu.Lock()
		defer mu.Unlock()
		return text.String()
	}
}

// TestSubTerminal checks that, on a terminal, sub prints events as readable lines above a status line.
func TestSubTerminal(t *testing.T) {
	p := hubtest.Start(t, hubtest.Program(t, nil, hubtest.AnyPorts...))
	inside, shown := openTerminal(t)
	cmd := subOf(p, "--transport", "websocket", "a.b") // auto would use another transport if the hub answered slowly
	cmd.Env = append(cmd.Env, "TERM=xterm")
	cmd.Stdout, cmd.Stderr = inside, inside
	begin(t, cmd)
	require.Eventually(t, func() bool { return strings.Contains(shown(), "live over websocket | 0 events") }, hubtest.Patience, 10*time.Millisecond)
	p.Publish("application/json", `{"topic":"a.b","type":"t","text":true,"data":"\u001b[2Jfirst\nsecond"}`)
	require.Eventually(t, func() bool { return strings.Contains(shown(), "live over websocket | 1 events") }, hubtest.Patience, 10*time.Millisecond)
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	require.Equal(t, exitDone, await(cmd))
	const erase = "\r\x1b[K"
	require.Regexp(t, `\r\x1b\[K[0-9:.]{12}  a\.b  type=t  \\x1b\[2Jfirst\\nsecond\r\n`, shown())
	require.Eventually(t, func() bool { return strings.HasSuffix(shown(), erase) }, hubtest.Patience, 10*time.Millisecond, "the status line is erased")
	for _, part := range strings.Split(shown(), erase) {
		status, _, isLine := strings.Cut(part, "\r\n")
		require.True(t, isLine || len(status) < 40, "%q is not wider than the terminal", status)
	}
	require.NotContains(t, shown(), p.Token)
}
