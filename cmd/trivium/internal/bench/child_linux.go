package bench

import (
	"bufio"
	"context"
	"encoding/json"
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

// startPatience is the maximum time to wait until a child process listens.
const startPatience = 2 * time.Minute

// Server is a server to which subscribers connect: a child process, or a hub that is already running.
type Server struct {
	address
	token string
	child *exec.Cmd     // nil if the hub was already running
	read  chan struct{} // closed when the child's standard error has been read to its end
}

// address is a line of JSON that a child writes to standard error when it listens. A hub writes this
// line as part of its log. A child that publishes inside its own process reports its measurements in
// a line of the same format.
type address struct {
	Message string        `json:"msg"`
	HTTP    string        `json:"http"`
	UDP     string        `json:"udp"`
	Events  int64         `json:"events"`
	CPU     time.Duration `json:"cpu_ns"`
	Wall    time.Duration `json:"wall_ns"`
	Cursor  string        `json:"cursor"` // cursor before the first event of a replay
	Result  *Result       `json:"result"` // result of the scenario million
}

const listening = "listening"

// hubFlags are the flags of every measured hub. With them, the hub listens on free loopback ports, logs
// its addresses in JSON, and prints its token.
var hubFlags = []string{"serve", "--http", "127.0.0.1:0", "--udp", "127.0.0.1:0", "--admin", "off", "--auth", "token", "--print-token",
	"--log-format", "json", "--log-level", "info"}

// start starts this program as a child process on the cores for servers, and blocks until the child
// listens. The calling goroutine must be locked to its thread: the kernel kills the child when the
// thread that started it ends, so that no child outlives the benchmark.
func (r *runner) start(extra []string, args ...string) (*Server, error) {
	return r.startWithin(startPatience, &r.cores.server, extra, args...)
}

// startWithin is like start, but with the given timeout and cores.
func (r *runner) startWithin(timeout time.Duration, on *unix.CPUSet, extra []string, args ...string) (*Server, error) {
	cmd := exec.Command(r.cfg.Program, args...)
	cmd.Env = append(append([]string{}, r.cfg.Environ...), extra...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true} // only the benchmark itself receives ^C from the terminal
	pipe, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	r.cores.enter(on)
	err = cmd.Start()
	r.cores.enterLoad()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", args[0], err)
	}
	s := &Server{child: cmd, read: make(chan struct{})}
	where := make(chan error, 1)
	go func() {
		defer close(s.read)
		where <- s.follow(pipe)
		_, _ = io.Copy(io.Discard, pipe) // reads the rest of the output, so that the child never blocks
	}()
	select {
	case err = <-where:
	case <-time.After(timeout):
		err = fmt.Errorf("the program did not report its addresses within %v", timeout)
	case <-r.ctx.Done():
		err = context.Cause(r.ctx)
	}
	if err != nil {
		s.stop()
		return nil, fmt.Errorf("%s: %w", strings.Join(args[:min(len(args), 3)], " "), err)
	}
	return s, nil
}

// follow reads the child's standard error until the line that contains the child's addresses.
func (s *Server) follow(pipe io.Reader) error {
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
	return fmt.Errorf("exited before it listened: %s", strings.Join(said, "; "))
}

// stop kills the child and waits until it has ended.
func (s *Server) stop() {
	if s.child == nil {
		return
	}
	_ = s.child.Process.Kill() // fails if the child has already ended
	<-s.read
	_ = s.child.Wait()
}

// cpu returns the CPU time that all threads of the server have used so far, in user and system
// mode. The kernel counts it in ns.
func (s *Server) cpu() (time.Duration, error) {
	return cpuOf(s.child.Process.Pid)
}

func cpuOf(pid int) (time.Duration, error) {
	const cpuClockSched = 2
	var t unix.Timespec
	// The ID of another process's CPU clock is computed in the same way as by clock_getcpuclockid(3).
	if err := unix.ClockGettime(int32(^pid<<3|cpuClockSched), &t); err != nil {
		return 0, fmt.Errorf("CPU time of process %d: %w", pid, err)
	}
	return time.Duration(t.Nano()), nil
}

// pss returns the server's proportional set size, in bytes.
func (s *Server) pss() (int64, error) { return pssOf(s.child.Process.Pid) }

func pssOf(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, err
	}
	_, after, _ := strings.Cut(string(text), "\nPss:")
	fields := strings.Fields(after)
	if len(fields) == 0 {
		return 0, fmt.Errorf("/proc/%d/smaps_rollup has no line Pss", pid)
	}
	kib, err := strconv.ParseInt(fields[0], 10, 64)
	return kib << 10, err
}

// cores holds the processor cores on which the servers and the load run. The load is the publishers and subscribers.
type cores struct {
	pinned       bool // the servers run on one set of cores and the load on another; the sets may overlap
	apart        bool // the two sets do not overlap
	server, load unix.CPUSet
	all          unix.CPUSet // all cores that this process may use
}

// newCores reserves the first n available cores for the servers. If n is 0 and there are at least two cores, it reserves
// one; if there is only one, it reserves none. It moves all threads of this process to the next core, or to the last
// reserved core if no other is left. New threads of this process run on the same core.
func newCores(n int) (*cores, error) {
	c := &cores{}
	if err := unix.SchedGetaffinity(0, &c.all); err != nil || n == 0 && c.all.Count() < 2 {
		return c, err
	}
	n = max(n, 1)
	if c.all.Count() < n {
		return nil, fmt.Errorf("--cpus %d: this process may use only %d", n, c.all.Count())
	}
	var found []int
	for cpu := 0; len(found) < min(n+1, c.all.Count()); cpu++ {
		if c.all.IsSet(cpu) {
			found = append(found, cpu)
		}
	}
	for _, cpu := range found[:n] {
		c.server.Set(cpu)
	}
	c.apart = len(found) > n
	c.load.Set(found[len(found)-1])
	tasks, err := filepath.Glob("/proc/self/task/*")
	if err != nil {
		return nil, err
	}
	for _, task := range tasks {
		if id, err := strconv.Atoi(filepath.Base(task)); err == nil {
			_ = unix.SchedSetaffinity(id, &c.load) // fails if the thread has ended
		}
	}
	c.pinned = true
	return c, nil
}

// enterLoad moves the calling thread back to the load's core.
func (c *cores) enterLoad() { c.enter(&c.load) }

// enter moves the calling thread to the cores in set. Children that the thread starts run there as well.
func (c *cores) enter(set *unix.CPUSet) {
	if c.pinned {
		_ = unix.SchedSetaffinity(0, set) // cannot fail: the process is allowed to use these cores
	}
}

// allowFiles tries to raise the limit on open files to n, and returns the limit that is in effect afterwards.
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
