package jetstream

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Files in a store's directory that do not belong to the NATS server.
const (
	lockName  = "lock"
	stateName = "trivium.json"
)

// storeVersion is the version of the directory's layout.
const storeVersion = 1

// store is the locked directory of an embedded server.
type store struct {
	dir       string
	lock      *os.File
	previous  state  // the state when the store was opened
	highWater uint64 // the highest sequence that a subscriber may have received before the start
	current   state
	mark      *mark // nil until the store is in use
}

// state is the content of the file stateName.
type state struct {
	Version int    `json:"version"`
	Clean   bool   `json:"clean"` // the store is not open, and was closed cleanly
	Boot    string `json:"boot"`  // ID of the machine's boot in which the store was last opened; empty: unknown
	Always  bool   `json:"sync_always"`
	Epoch   string `json:"epoch,omitempty"`   // epoch of the stream; empty: unknown
	Lock    uint64 `json:"lock_id,omitempty"` // file ID of the lock file; 0: unknown
	// LockBorn is the creation time of the lock file, in nanoseconds since 1970; 0: unknown. If the
	// original was deleted, the lock file of a copy may get the same file ID, but has another creation time.
	LockBorn int64 `json:"lock_born,omitempty"`
}

// openStore creates the directory if it does not exist and locks it. If it fails, the directory's files are
// unchanged.
func openStore(dir string, always bool) (_ *store, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	before, err := readState(dir)
	if err != nil {
		return nil, err
	}
	s := &store{dir: dir, previous: before, current: state{Version: storeVersion, Boot: bootID(), Always: always}}
	if s.lock, err = os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if err := lockFile(s.lock); err != nil {
		return nil, fmt.Errorf("the store %s is in use by another process: %w", dir, err)
	}
	if s.previous, err = readState(dir); err != nil { // read again, now that no other process can change it
		return nil, err
	}
	if s.highWater, err = readMark(dir); err != nil {
		return nil, err
	}
	info, err := s.lock.Stat()
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	s.current.Lock, s.current.LockBorn = fileID(info), birthTime(s.lock)
	// This write fails on a full disk, which is better detected now than at the first event.
	return s, s.write(s.previous)
}

// readState reads the state of a store. An empty directory is a new store.
func readState(dir string) (state, error) {
	path := filepath.Join(dir, stateName)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return state{}, fmt.Errorf("store: %w", err)
		}
		for _, entry := range entries {
			if entry.Name() != lockName && !strings.HasPrefix(entry.Name(), stateName) { // an interrupted first start may leave these files
				return state{}, fmt.Errorf("%s is not a store: it contains %s but no %s", dir, entry.Name(), stateName)
			}
		}
		return state{Version: storeVersion, Clean: true}, nil
	}
	if err != nil {
		return state{}, fmt.Errorf("store: %w", err)
	}
	var s state
	if err := json.NewDecoder(bytes.NewReader(data)).Decode(&s); err != nil {
		return state{}, fmt.Errorf("%s: %w", path, err)
	}
	if s.Version != storeVersion {
		return state{}, fmt.Errorf("the store %s has version %d, but this program supports only version %d", dir, s.Version, storeVersion)
	}
	return s, nil
}

// mayHaveLost reports whether data may be missing: the machine was restarted while the store was
// open and not everything was on disk.
func (s *store) mayHaveLost() bool {
	return !s.previous.Clean && !s.previous.Always && (s.previous.Boot == "" || s.previous.Boot != s.current.Boot)
}

// newEpochReason returns the reason why the stream with this epoch and last sequence may assign
// sequences a second time, or "" if it cannot.
func (s *store) newEpochReason(epoch string, last uint64) string {
	switch {
	case s.mayHaveLost():
		return "the machine stopped while the store was in use and not all of it was on disk"
	case s.isCopy():
		return "the store is a copy, perhaps an older one"
	case s.previous.Epoch != "" && s.previous.Epoch != epoch:
		return "the store contains another stream than when it was last used"
	case last < s.highWater:
		return fmt.Sprintf("the log ends at %d, but events up to %d were delivered", last, s.highWater)
	}
	return ""
}

// isCopy reports whether the store is a copy: its lock file is not the one with which the store was
// last used.
func (s *store) isCopy() bool {
	before, now := s.previous, s.current
	return before.Lock != 0 && now.Lock != 0 && before.Lock != now.Lock ||
		before.LockBorn != 0 && now.LockBorn != 0 && before.LockBorn != now.LockBorn
}

// begin records that the store is in use by a stream with this epoch and last sequence.
func (s *store) begin(epoch string, last uint64) (err error) {
	if s.mark, err = openMark(s.dir, last); err != nil {
		return err
	}
	s.current.Epoch = epoch
	return s.setClean(false)
}

// flush syncs all files of the store to disk. When the server stops, it does not sync its files itself.
func (s *store) flush() error {
	err := filepath.WalkDir(s.dir, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err == nil && entry.IsDir():
			err = syncDir(path)
		case err == nil:
			err = syncFile(path)
		}
		if errors.Is(err, fs.ErrNotExist) { // the server may still be deleting purged files
			return nil
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return nil
}

func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// setClean records whether the store was closed cleanly.
func (s *store) setClean(clean bool) error {
	s.current.Clean = clean
	return s.write(s.current)
}

// write replaces the state file atomically and syncs it to disk.
func (s *store) write(content state) error {
	data, err := json.Marshal(content)
	if err != nil {
		return err
	}
	path := filepath.Join(s.dir, stateName)
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	_, err = f.Write(append(data, '\n'))
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("store: %w", err)
	}
	return syncDir(s.dir)
}

func (s *store) close() error {
	if s.mark != nil {
		return errors.Join(s.mark.close(), s.lock.Close())
	}
	return s.lock.Close()
}
