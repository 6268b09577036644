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

// What stands in a store's directory beside what the server keeps.
const (
	lockName  = "lock"
	stateName = "trivium.json"
)

// storeVersion is of what the directory holds.
const storeVersion = 1

// store is the directory of an embedded server, locked.
type store struct {
	dir       string
	lock      *os.File
	previous  state  // as it was found
	highWater uint64 // the highest sequence that anybody may have seen before
	current   state
	mark      *mark // nil until the store is in use
}

// state is what stateName says.
type state struct {
	Version int    `json:"version"`
	Clean   bool   `json:"clean"` // nobody has it open, and nobody was cut off
	Boot    string `json:"boot"`  // of the machine, when it was opened last; empty: not known
	Always  bool   `json:"sync_always"`
	Epoch   string `json:"epoch,omitempty"`   // of the stream; empty: not known
	Lock    uint64 `json:"lock_id,omitempty"` // of the lock file on its disk; 0: not known
}

// openStore locks the directory, which is made if it is not there. If the error is not nil,
// nothing in it was changed.
func openStore(dir string, always bool) (_ *store, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("the store: %w", err)
	}
	before, err := readState(dir)
	if err != nil {
		return nil, err
	}
	s := &store{dir: dir, previous: before, current: state{Version: storeVersion, Boot: bootID(), Always: always}}
	if s.lock, err = os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return nil, fmt.Errorf("the store: %w", err)
	}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if err := lockFile(s.lock); err != nil {
		return nil, fmt.Errorf("the store %s is in use by another process: %w", dir, err)
	}
	if s.previous, err = readState(dir); err != nil { // as its last user left it
		return nil, err
	}
	if s.highWater, err = readMark(dir); err != nil {
		return nil, err
	}
	info, err := s.lock.Stat()
	if err != nil {
		return nil, fmt.Errorf("the store: %w", err)
	}
	s.current.Lock = fileID(info)
	// Whether there is room at all is better known now than with the first event.
	return s, s.write(s.previous)
}

// readState reads what the store says of itself; a directory with nothing in it says that it is new.
func readState(dir string) (state, error) {
	path := filepath.Join(dir, stateName)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return state{}, fmt.Errorf("the store: %w", err)
		}
		for _, entry := range entries {
			if entry.Name() != lockName && !strings.HasPrefix(entry.Name(), stateName) { // both are of a first start that was cut off
				return state{}, fmt.Errorf("%s is no store: there is %s in it and no %s", dir, entry.Name(), stateName)
			}
		}
		return state{Version: storeVersion, Clean: true}, nil
	}
	if err != nil {
		return state{}, fmt.Errorf("the store: %w", err)
	}
	var s state
	if err := json.NewDecoder(bytes.NewReader(data)).Decode(&s); err != nil {
		return state{}, fmt.Errorf("%s: %w", path, err)
	}
	if s.Version != storeVersion {
		return state{}, fmt.Errorf("the store %s is of version %d, and this program knows %d alone", dir, s.Version, storeVersion)
	}
	return s, nil
}

// mayHaveLost reports that the machine went down while the store was open and not all was on disk.
func (s *store) mayHaveLost() bool {
	return !s.previous.Clean && !s.previous.Always && (s.previous.Boot == "" || s.previous.Boot != s.current.Boot)
}

// newEpochReason returns why sequences may be assigned a second time by a stream of this epoch and end, empty if
// they cannot.
func (s *store) newEpochReason(epoch string, last uint64) string {
	switch {
	case s.mayHaveLost():
		return "the machine went down while the store was in use, and not all of it was on disk"
	case s.previous.Lock != 0 && s.current.Lock != 0 && s.previous.Lock != s.current.Lock:
		return "the store is a copy, perhaps of an earlier state"
	case s.previous.Epoch != "" && s.previous.Epoch != epoch:
		return "the stream in the store is another one than was used last"
	case last < s.highWater:
		return fmt.Sprintf("the log ends at %d, and events up to %d were delivered", last, s.highWater)
	}
	return ""
}

// begin notes that the store is in use, by a stream of this epoch that ends at last.
func (s *store) begin(epoch string, last uint64) (err error) {
	if s.mark, err = openMark(s.dir, last); err != nil {
		return err
	}
	s.current.Epoch = epoch
	return s.setClean(false)
}

// flush has all that is in the store on disk. The server leaves that to the system when it ends.
func (s *store) flush() error {
	err := filepath.WalkDir(s.dir, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err == nil && entry.IsDir():
			err = syncDir(path)
		case err == nil:
			err = syncFile(path)
		}
		if errors.Is(err, fs.ErrNotExist) { // what was purged may be on its way out still
			return nil
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("the store: %w", err)
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

// note keeps whether the store is left in order.
func (s *store) setClean(clean bool) error {
	s.current.Clean = clean
	return s.write(s.current)
}

// write replaces the state whole, and has it on disk when it returns.
func (s *store) write(content state) error {
	data, err := json.Marshal(content)
	if err != nil {
		return err
	}
	path := filepath.Join(s.dir, stateName)
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("the store: %w", err)
	}
	_, err = f.Write(append(data, '\n'))
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("the store: %w", err)
	}
	return syncDir(s.dir)
}

func (s *store) close() error {
	if s.mark != nil {
		return errors.Join(s.mark.close(), s.lock.Close())
	}
	return s.lock.Close()
}
