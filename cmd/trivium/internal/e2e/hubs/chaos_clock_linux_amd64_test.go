package hubs

import (
	"bytes"
	"debug/elf"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/natstest"
	"github.com/trivium-hub/trivium/hub/testkit"
)

// setClockAhead sets the wall clock of one process ahead by whole seconds. A Go program reads the
// clock by calling a function that the kernel maps into each process (the vDSO); therefore a preloaded
// library cannot change the time. setClockAhead overwrites this function with code that makes the
// system call and adds the seconds to the result. It returns false if the kernel does not permit
// writing to the memory of the process.
func setClockAhead(t *testing.T, pid int, by time.Duration) bool {
	t.Helper()
	memory, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", pid), os.O_RDWR, 0)
	if err != nil {
		return false
	}
	defer memory.Close()
	start, size := vdsoOf(t, pid)
	image := make([]byte, size)
	_, err = memory.ReadAt(image, start)
	require.NoError(t, err)
	file, err := elf.NewFile(bytes.NewReader(image))
	require.NoError(t, err)
	symbols, err := file.DynamicSymbols()
	require.NoError(t, err)
	code := []byte{
		0xb8, 228, 0, 0, 0, // mov eax, SYS_clock_gettime
		0x0f, 0x05, // syscall
		0x85, 0xff, // test edi, edi; CLOCK_REALTIME is 0
		0x75, 0x07, // jne over the next instruction
		0x48, 0x81, 0x06, // add qword [rsi], the number of seconds
	}
	seconds := uint32(by / time.Second)
	code = append(code, byte(seconds), byte(seconds>>8), byte(seconds>>16), byte(seconds>>24), 0xc3) // ret
	for _, symbol := range symbols {
		if symbol.Name == "__vdso_clock_gettime" {
			_, err := memory.WriteAt(code, start+int64(symbol.Value))
			return err == nil
		}
	}
	return false
}

// vdsoOf returns the address and size of the vDSO in the memory of a process.
func vdsoOf(t *testing.T, pid int) (start, size int64) {
	t.Helper()
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	require.NoError(t, err)
	for line := range strings.Lines(string(maps)) {
		if strings.HasSuffix(line, "[vdso]\n") {
			var end int64
			_, err := fmt.Sscanf(line, "%x-%x", &start, &end)
			require.NoError(t, err)
			return start, end - start
		}
	}
	require.FailNow(t, "the memory map of the process contains no vdso")
	return 0, 0
}

// serverTime returns the time according to the clock of a NATS server.
func serverTime(t *testing.T, at natstest.Place) time.Time {
	t.Helper()
	conn, err := nats.Connect(fmt.Sprint("nats://127.0.0.1:", at.Port), nats.Timeout(hubtest.Patience))
	require.NoError(t, err)
	defer conn.Close()
	js, err := jetstream.New(conn, jetstream.WithDefaultTimeout(hubtest.Patience))
	require.NoError(t, err)
	stream, err := js.CreateOrUpdateStream(t.Context(), jetstream.StreamConfig{Name: "clock", Storage: jetstream.MemoryStorage})
	require.NoError(t, err)
	return stream.CachedInfo().TimeStamp
}

// TestSetClockAhead checks that the wall clock of another process can be set ahead and back.
func TestSetClockAhead(t *testing.T) {
	t.Parallel()
	place := natstest.Place{Name: "clock", Port: testkit.FreePorts(t, 1)[0], Store: t.TempDir()}
	server := natstest.Start(t, place)
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	now := serverTime(t, place)
	require.WithinDuration(t, time.Now(), now, hubtest.Patience)
	if !setClockAhead(t, server.Process.Pid, time.Hour) {
		t.Log("the kernel does not permit writing to the memory of another process")
		return
	}
	require.WithinDuration(t, time.Now().Add(time.Hour), serverTime(t, place), hubtest.Patience)
	require.True(t, setClockAhead(t, server.Process.Pid, 0))
	require.WithinDuration(t, time.Now(), serverTime(t, place), hubtest.Patience)
}

// For a while, the clock of the NATS server is an hour ahead, so that the times of the events in the stream
// are not in order. A poll with a start time (since) must still skip no event that has this time or a later
// one. This is required of a hub that has read the stream while the clock was ahead, and of a hub that is
// started afterwards.
func TestSinceInClockSkew(t *testing.T) {
	if testing.Short() {
		t.Skip("many events take a long time")
	}
	t.Parallel()
	place := natstest.Place{Name: "skew", Port: testkit.FreePorts(t, 1)[0], Store: t.TempDir()}
	server := natstest.Start(t, place)
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	start := func() *hubtest.Process {
		return hubtest.Start(t, hubtest.Binary(t, append(hubtest.AnyPorts, "--auth", "none", "--engine", "nats", "--nats-url", fmt.Sprint("nats://127.0.0.1:", place.Port),
			"--retain-events", "1000000", "--retain-bytes", "1GiB", "--retain-age", "24h")...))
	}
	p := start()
	epoch, _, _ := strings.Cut(p.Poll("wait=0").Cursor, "-")
	publish := func(events int) (last uint64) {
		_, seq, _ := strings.Cut(p.PublishLines(events, func(int) string { return `{"topic":"a","data":1}` }), "-")
		last, err := strconv.ParseUint(seq, 10, 64)
		require.NoError(t, err)
		return last
	}
	before := publish(3000)
	if !setClockAhead(t, server.Process.Pid, time.Hour) {
		t.Log("the kernel does not permit writing to the memory of another process")
		return
	}
	ahead := publish(3000) - before
	require.True(t, setClockAhead(t, server.Process.Pid, 0))
	last := publish(70_000) // more events than a hub loads into memory when it starts
	for name, p := range map[string]*hubtest.Process{"followed": p, "late": start()} {
		timeOf := func(seq uint64) time.Time {
			answer := p.Poll(fmt.Sprintf("wait=50&max=1&cursor=%s-%d", epoch, seq-1))
			require.Len(t, answer.Events, 1)
			return answer.Events[0].Time
		}
		require.Greater(t, timeOf(before+1).Sub(timeOf(last)), time.Hour/2)
		for _, seq := range []uint64{2, before - 10, before, before + 1, before + 2, before + ahead/2, before + ahead - 1, before + ahead + 1, before + ahead + 2000, last - 10} {
			since := timeOf(seq)
			want := seq
			if seq > before+ahead {
				want = before + 1 // the events with times an hour ahead are also later than since
			}
			answer := p.Poll("wait=50&max=1&since=" + url.QueryEscape(since.Format(time.RFC3339Nano)))
			require.Nil(t, answer.Gap)
			require.NotEmpty(t, answer.Events, "%s, since the time of %d", name, seq)
			require.LessOrEqual(t, answer.Events[0].ID.Seq, want, "%s, since the time of %d", name, seq)
			t.Logf("%s, since the time of %d: begins at %d, want %d at most", name, seq, answer.Events[0].ID.Seq, want)
		}
	}
}
