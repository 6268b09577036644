package jetstream

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
)

// markName is the file with the highest sequence that anybody may have seen. It stands beside what the
// server keeps, so a stream that was damaged or put back to an earlier state ends before it.
const markName = "high-water"

// mark is that file, open. A write is in the system's memory when it returns, so it outlasts the process;
// after a power loss the epoch is new anyway.
type mark struct {
	file *os.File

	mu  sync.Mutex
	seq uint64
}

// readMark returns the highest sequence that the store's users may have seen; 0 if none is known.
func readMark(dir string) (uint64, error) {
	data, err := os.ReadFile(filepath.Join(dir, markName))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil // of a version that had none
	}
	if err != nil {
		return 0, fmt.Errorf("store: %w", err)
	}
	text := strings.TrimSpace(string(data))
	if text == "" {
		return 0, nil // made, and nothing was published
	}
	seq, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("store: %s: want a sequence number: %w", markName, err)
	}
	return seq, nil
}

// openMark begins to keep the mark, from the end of the log on.
func openMark(dir string, seq uint64) (*mark, error) {
	f, err := os.OpenFile(filepath.Join(dir, markName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	m := &mark{file: f}
	if err := m.write(seq); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return m, nil
}

// raise notes that seq is about to be seen.
func (m *mark) raise(seq uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if seq <= m.seq {
		return nil
	}
	return m.write(seq)
}

// write replaces the sequence. The text always has the same length, so no part of an earlier one is left.
func (m *mark) write(seq uint64) error {
	if _, err := m.file.WriteAt(fmt.Appendf(nil, "%020d\n", seq), 0); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	m.seq = seq
	return nil
}

func (m *mark) close() error { return m.file.Close() }
