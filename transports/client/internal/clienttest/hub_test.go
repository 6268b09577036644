//go:build !js

package clienttest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"time"
)

// hubProcess is the process of a hub. It can be restarted. Its address then changes.
type hubProcess struct {
	args []string
	log  tail

	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended
}

func newHubProcess(secretFile, origin string, flags []string) *hubProcess {
	args := []string{
		"serve", "--http", "127.0.0.1:0", "--udp", "off", "--admin", "off", "--log-level", "info", "--log-format", "json",
		"--jwt-secret-file", secretFile, "--origin", origin,
	}
	return &hubProcess{args: append(args, flags...)}
}

// start starts the process and returns its address.
func (h *hubProcess) start() (addr string, err error) {
	binary, err := hubBinary()
	if err != nil {
		return "", fmt.Errorf("building the hub: %w", err)
	}
	h.log.expect(regexp.MustCompile(`WebSocket  ws://([^/]+)/ws`))
	h.cmd = exec.Command(binary, h.args...)
	// Most hubs run for seconds only, and need no garbage collection while they start.
	h.cmd.Env = []string{"HOME=" + filepath.Dir(binary), "GOGC=400"}
	h.cmd.Stderr = &h.log
	if err := h.cmd.Start(); err != nil {
		return "", err
	}
	h.done = make(chan struct{})
	go func() {
		_ = h.cmd.Wait() // the exit code is not checked here
		close(h.done)
	}()
	select {
	case addr = <-h.log.found:
		return addr, nil
	case <-h.done:
		return "", fmt.Errorf("the hub ended: %s", h.log.String())
	case <-time.After(patience):
		return "", errors.New("the hub did not log its address")
	}
}

// end sends a signal, and waits until the process has ended.
func (h *hubProcess) end(signal os.Signal) error {
	if err := h.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-h.done:
		return nil
	case <-time.After(patience):
		return errors.New("the hub did not end")
	}
}

// tail keeps the end of a process's output and searches it for a pattern.
type tail struct {
	found chan string

	mu      sync.Mutex
	text    []byte
	pattern *regexp.Regexp // nil after a match was found
}

const maxTail = 64 << 10 // bytes

func (l *tail) expect(pattern *regexp.Regexp) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text, l.pattern, l.found = nil, pattern, make(chan string, 1)
}

func (l *tail) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	if l.pattern != nil {
		if match := l.pattern.FindSubmatch(l.text); match != nil {
			l.found <- string(match[1])
			l.pattern = nil
		}
	}
	if extra := len(l.text) - maxTail; extra > 0 {
		l.text = bytes.Clone(l.text[extra:])
	}
	return len(p), nil
}

func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text)
}
