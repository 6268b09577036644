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

// markName is the name of the file with the highest sequence that a subscriber may have received. The
// NATS server does not use this file. Therefore, if the stream ends before this sequence, the server's
// files were damaged or restored from an older copy.
const markName = "high-water"

// mark is the open high-water file. Writes are not synced to disk: they are not lost if only the
// process ends, and after a power loss a new epoch begins anyway.
type mark struct {
	file *os.File

	mu  sync.Mutex
	seq uint64
}

// readMark returns the highest sequence that a subscriber may have received from the store in dir, or 0 if
// none is recorded.
func readMark(dir string) (uint64, error) {
	data, err := os.ReadFile(filepath.Join(dir, markName))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil // an older version created the store
	}
	if err != nil {
		return 0, fmt.Errorf("store: %w", err)
	}
	text := strings.TrimSpace(string(data))
	if text == "" {
		return 0, nil // nothing was published yet
	}
	seq, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("store: %s: want a sequence number: %w", markName, err)
	}
	return seq, nil
}

// openMark opens the high-water file and writes the sequence seq, the end of the log, to it.
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

// raise records that subscribers are about to receive the event at seq.
func (m *mark) raise(seq uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if seq <= m.seq {
		return nil
	}
	return m.write(seq)
}

// write overwrites the sequence. The new number has the same length, so that it replaces the old
// one completely.
func (m *mark) write(seq uint64) error {
	if _, err := m.file.WriteAt(fmt.Appendf(nil, "%020d\n", seq), 0); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	m.seq = seq
	return nil
}

func (m *mark) close() error { return m.file.Close() }
