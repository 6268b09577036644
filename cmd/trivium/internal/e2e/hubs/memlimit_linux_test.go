package hubs

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/decode"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/server"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/settings"
)

// containerMemory is the memory of the smallest container in which the default settings must work.
const containerMemory = 128 * hubtest.Mebibyte

// limitOf returns the memory limit that the hub sets for the Go runtime in a container with the given memory.
func limitOf(memory int64) int64 { return int64(float64(memory) * server.MemoryShare) }

// newCgroup creates a memory cgroup below the cgroup of this process and returns its directory. It
// returns an error if the system does not permit this.
func newCgroup(t *testing.T, limit int64) (dir string, err error) {
	t.Helper()
	of, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", err
	}
	parent, file := "", "memory.max"
	for line := range strings.Lines(string(of)) {
		id, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		controllers, path, _ := strings.Cut(rest, ":")
		switch {
		case controllers == "memory":
			parent, file = filepath.Join("/sys/fs/cgroup/memory", path), "memory.limit_in_bytes"
		case id == "0" && parent == "":
			parent = filepath.Join("/sys/fs/cgroup", path)
		}
	}
	dir, err = os.MkdirTemp(parent, "trivium-test-")
	if err != nil {
		return "", err
	}
	t.Cleanup(func() { // waits until the kernel has removed the ended process from the cgroup
		require.Eventually(t, func() bool { return os.Remove(dir) == nil }, hubtest.Patience, 10*time.Millisecond)
	})
	return dir, os.WriteFile(filepath.Join(dir, file), []byte(strconv.FormatInt(limit, 10)), 0o600)
}

// contain returns a command that runs cmd in a cgroup with the memory limit, and true. If no cgroup
// can be created, it returns false and the command cmd with the variable GOMEMLIMIT, set to the value
// that the hub would derive from the cgroup.
func contain(t *testing.T, cmd *exec.Cmd, limit int64) (*exec.Cmd, bool) {
	t.Helper()
	dir, err := newCgroup(t, limit)
	if err != nil {
		t.Logf("no cgroup can be created, so GOMEMLIMIT is used instead: %v", err)
		cmd.Env = append(cmd.Env, fmt.Sprintf("GOMEMLIMIT=%d", limitOf(limit)))
		return cmd, false
	}
	inside := exec.Command("sh", append([]string{"-c", `echo $$ > "$0"; exec "$@"`, filepath.Join(dir, "cgroup.procs")}, cmd.Args...)...)
	inside.Env = cmd.Env
	return inside, true
}

// replay reads the events after the cursor, up to the event with the ID end, and returns the number of received events.
func replay(p *hubtest.Process, transport, cursor, end string) (n int) {
	p.T.Helper()
	if transport == "sse" {
		for stream := p.SSE("cursor=" + cursor); ; n++ {
			e, err := stream.Next()
			require.NoError(p.T, err)
			require.NotEqual(p.T, "trivium.gap", e.Type)
			if e.ID == end {
				return n + 1
			}
		}
	}
	for conn := p.WebSocket("cursor=" + cursor); ; n++ {
		m := p.Message(conn)
		require.NotEqual(p.T, decode.OpGap, m.Op)
		if m.Event != nil && m.Event.ID.String() == end {
			return n + 1
		}
	}
}

// In a container with 128 MiB, a hub with default settings fills its log, serves complete replays
// over two transports at the same time, and still accepts events.
func TestDefaultsFitContainer(t *testing.T) {
	cmd, contained := contain(t, hubtest.Binary(t, append(hubtest.AnyPorts, "--auth", "none", "--log-level", "info")...), containerMemory)
	p := hubtest.Start(t, cmd)
	if contained {
		require.Contains(t, p.Log(), fmt.Sprintf(`"memory limit derived from the cgroup","bytes":%d`, limitOf(containerMemory)))
	}
	fillAndReplay(p, containerMemory, 0)
}

// embeddedMemory is the memory of the smallest container in which the embedded engine must work. It is larger
// than containerMemory, because the engine's NATS server keeps blocks of the log in memory for ten seconds
// after their last use. If a client reads the whole log within ten seconds, all blocks are in memory.
const embeddedMemory = 192 * hubtest.Mebibyte

// The same as TestDefaultsFitContainer, but with the embedded engine. The size of the in-memory log
// depends on the container's memory, and replays read older events from the store.
func TestDefaultsFitContainerEmbedded(t *testing.T) {
	if testing.Short() {
		t.Skip("filling a log takes a long time")
	}
	args := append(hubtest.AnyPorts, "--auth", "none", "--log-level", "info", "--engine", "embedded", "--store", t.TempDir())
	cmd, contained := contain(t, hubtest.Binary(t, args...), embeddedMemory)
	p := hubtest.Start(t, cmd)
	const inStore = 60_000 // number of events to replay; the store retains 65,536
	fillAndReplay(p, embeddedMemory, inStore)
	s := p.Stats()
	require.Less(t, s.Events.Retained, inStore)
	if contained {
		require.LessOrEqual(t, s.Events.RetainedBytes, limitOf(embeddedMemory)/settings.MemlogShare)
	}
}

// fillAndReplay publishes until the in-memory log is full and the store contains inStore events. It then
// repeatedly replays the newest inStore events, or, if inStore is 0, all events in memory. It requires
// that the hub's memory stays below the given limit.
func fillAndReplay(p *hubtest.Process, memory int64, inStore int) {
	filling := strings.Repeat("x", 900)
	fill := func(n int) {
		p.PublishLines(n, func(i int) string {
			return fmt.Sprintf(`{"topic":"history.%d","key":"k%d","data":"%s"}`, i%10_000, i, filling)
		})
	}
	for p.Stats().Events.Removed["bytes"] == 0 {
		fill(20_000)
	}
	for published := 0; published < inStore+20_000 && inStore > 0; published += 20_000 {
		fill(20_000)
	}
	filled, most := p.Resident(), int64(0)
	for range 2 {
		s := p.Stats()
		epoch, newest, _ := strings.Cut(s.Position, "-")
		end, err := strconv.ParseUint(newest, 10, 64)
		require.NoError(p.T, err)
		count := max(s.Events.Retained, inStore)
		start := fmt.Sprintf("%s-%d", epoch, end-uint64(count))
		for _, transport := range []string{"sse", "ws"} {
			require.Equal(p.T, count, replay(p, transport, start, s.Position), transport)
			most = max(most, p.Resident())
		}
		fill(1000)
	}
	most = max(most, p.Resident())
	p.T.Logf("resident: %d MiB with a full log, at most %d MiB after replays, of %d MiB", filled>>20, most>>20, memory>>20)
	require.Less(p.T, most, memory)
	status, _ := p.Request(http.MethodGet, "http://"+p.HTTP+"/healthz", "", "")
	require.Equal(p.T, http.StatusOK, status)
}
