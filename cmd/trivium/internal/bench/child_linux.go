package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// startPatience bounds the wait for a child to listen.
const startPatience = 2 * time.Minute

// server is what subscribers connect to: a child, or a hub that runs already.
type server struct {
	address
	token string
	child *exec.Cmd     // nil: not ours
	read  chan struct{} // closed when its standard error has ended
}

// address is what a child says of itself: a line of JSON on standard error, for the hub one of its
// log. One that publishes inside of itself says what that took.
type address struct {
	Message string        `json:"msg"`
	HTTP    string        `json:"http"`
	UDP     string        `json:"udp"`
	Events  int64         `json:"events"`
	CPU     time.Duration `json:"cpu_ns"`
	Wall    time.Duration `json:"wall_ns"`
}

const listening = "listening"

// hubFlags are those of the hub under test: as it comes, but on free ports of loopback.
var hubFlags = []string{"serve", "--http", "127.0.0.1:0", "--udp", "127.0.0.1:0", "--admin", "off", "--auth", "token", "--print-token",
	"--log-format", "json", "--log-level", "info"}

// start runs this program once more, on the core for servers, and waits until it listens. The
// caller holds its thread, since the kernel kills the child when the thread that has started it
// ends; so it ends with the bench, whatever happens to that.
func (r *runner) start(extra []string, args ...string) (*server, error) {
	cmd := exec.Command(r.cfg.Program, args...)
	cmd.Env = append(append([]string{}, r.cfg.Environ...), extra...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true} // a terminal's ^C is for the bench to handle
	pipe, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	r.cores.enterServer()
	err = cmd.Start()
	r.cores.enterLoad()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", args[0], err)
	}
	s := &server{child: cmd, read: make(chan struct{})}
	where := make(chan error, 1)
	go func() {
		defer close(s.read)
		where <- s.follow(pipe)
		_, _ = io.Copy(io.Discard, pipe) // what it says later is of no interest, but must not block it
	}()
	select {
	case err = <-where:
	case <-time.After(startPatience):
		err = errors.New("it does not listen")
	case <-r.ctx.Done():
		err = context.Cause(r.ctx)
	}
	if err != nil {
		s.stop()
		return nil, fmt.Errorf("%s: %w", strings.Join(args[:min(len(args), 3)], " "), err)
	}
	return s, nil
}

// follow reads until the child has said where it listens.
func (s *server) follow(pipe io.Reader) error {
	var said []string
	for lines := bufio.NewScanner(pipe); lines.Scan(); {
		line := lines.Text()
		if _, after, found := strings.Cut(line, "access_token="); found && s.token == "" {
			s.token, _, _ = strings.Cut(after, "'")
		}
		var a address
		if json.Unmarshal([]byte(line), &a) == nil && a.Message == listening {
			s.address = a
			return nil
		}
		said = append(said, line)
	}
	return fmt.Errorf("ended before it listened: %s", strings.Join(said, "; "))
}

// stop kills the child and waits for it.
func (s *server) stop() {
	if s.child == nil {
		return
	}
	_ = s.child.Process.Kill() // it may have ended
	<-s.read
	_ = s.child.Wait()
}

// cpu is the time that the server has taken on a CPU so far, all threads, user and system: the
// kernel's own count in ns, not in ticks.
func (s *server) cpu() (time.Duration, error) {
	return cpuOf(s.child.Process.Pid)
}

func cpuOf(pid int) (time.Duration, error) {
	const cpuClockSched = 2
	var t unix.Timespec
	// The clock of another process, as clock_getcpuclockid(3) spells it.
	if err := unix.ClockGettime(int32(^pid<<3|cpuClockSched), &t); err != nil {
		return 0, fmt.Errorf("CPU time of process %d: %w", pid, err)
	}
	return time.Duration(t.Nano()), nil
}

// pss is the server's proportional set size, in bytes.
func (s *server) pss() (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", s.child.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, after, _ := strings.Cut(string(text), "\nPss:")
	fields := strings.Fields(after)
	if len(fields) == 0 {
		return 0, errors.New("smaps_rollup has no Pss")
	}
	kib, err := strconv.ParseInt(fields[0], 10, 64)
	return kib << 10, err
}

// cores keeps the servers and the load apart, where there are two.
type cores struct {
	pinned       bool
	server, load unix.CPUSet
}

// newCores takes the first two cores that this process may run on, and puts all its threads on the
// second. Threads that it starts later inherit that.
func newCores() (*cores, error) {
	c := &cores{}
	var all unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil || all.Count() < 2 {
		return c, err
	}
	var found []int
	for cpu := 0; len(found) < 2; cpu++ {
		if all.IsSet(cpu) {
			found = append(found, cpu)
		}
	}
	c.server.Set(found[0])
	c.load.Set(found[1])
	tasks, err := filepath.Glob("/proc/self/task/*")
	if err != nil {
		return nil, err
	}
	for _, task := range tasks {
		if id, err := strconv.Atoi(filepath.Base(task)); err == nil {
			_ = unix.SchedSetaffinity(id, &c.load) // a thread may have ended
		}
	}
	c.pinned = true
	return c, nil
}

// enterServer moves the calling thread, and what it starts, to the core of servers.
func (c *cores) enterServer() { c.enter(&c.server) }

// enterLoad moves it back.
func (c *cores) enterLoad() { c.enter(&c.load) }

func (c *cores) enter(set *unix.CPUSet) {
	if c.pinned {
		_ = unix.SchedSetaffinity(0, set) // as newCores could
	}
}

// allowFiles raises the limit on open files to n if it can, and gives the limit.
func allowFiles(n int) (int, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, err
	}
	want := uint64(n)
	if limit.Cur >= want {
		return int(min(limit.Cur, math.MaxInt32)), nil
	}
	raised := unix.Rlimit{Cur: want, Max: max(limit.Max, want)}
	if unix.Setrlimit(unix.RLIMIT_NOFILE, &raised) == nil {
		return n, nil
	}
	raised = unix.Rlimit{Cur: limit.Max, Max: limit.Max}
	return int(limit.Max), unix.Setrlimit(unix.RLIMIT_NOFILE, &raised)
}
