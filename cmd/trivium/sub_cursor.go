package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// cursorFile is where trivium sub keeps after which event to go on: one line, nothing else.
type cursorFile struct {
	path string
	kept string // what is in it, "" for nothing
}

// openCursorFile reads a file, which need not be there yet, and tries whether it can be replaced. The
// error says what is wrong with it.
func openCursorFile(path string) (*cursorFile, error) {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target // or the link would be replaced
	}
	f := &cursorFile{path: path}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("want a plain file, %s is none", path)
	case info.Mode().Perm()&0o200 == 0: // replacing it does not ask for that
		return nil, fmt.Errorf("want a file that may be written, %s is read-only", path)
	default:
		content, err := readBounded(path, 1<<10)
		if err != nil {
			return nil, err
		}
		f.kept = strings.TrimSpace(string(content))
		if f.kept != "" && checkCursor(f.kept) != "" {
			return nil, fmt.Errorf("want what trivium sub has saved, %s holds something else", path)
		}
	}
	probe, err := f.scratch()
	var failed *fs.PathError
	if errors.As(err, &failed) {
		return nil, fmt.Errorf("no file can be made in %s: %w", filepath.Dir(path), failed.Err)
	}
	if err != nil {
		return nil, err
	}
	return f, errors.Join(probe.Close(), os.Remove(probe.Name()))
}

// scratch makes a file that can take the place of f. Only its owner may read it.
func (f *cursorFile) scratch() (*os.File, error) {
	return os.CreateTemp(filepath.Dir(f.path), ".trivium-cursor-*")
}

// cursor is what the file holds, "" if it holds nothing or there is none.
func (f *cursorFile) cursor() string {
	if f == nil {
		return ""
	}
	return f.kept
}

// save puts a cursor in place of the one that is there: whenever the program or the machine ends, the
// one or the other is in the file. None at all is not saved.
func (f *cursorFile) save(cursor string) error {
	if f == nil || cursor == "" || cursor == f.kept {
		return nil
	}
	next, err := f.scratch()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(next, cursor)
	if err == nil {
		err = next.Sync()
	}
	if err = errors.Join(err, next.Close()); err == nil {
		err = os.Rename(next.Name(), f.path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(next.Name()))
	}
	f.kept = cursor
	return nil
}
