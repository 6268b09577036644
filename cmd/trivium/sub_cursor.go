package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/settings"
)

// cursorFile is the file of --save-cursor: one line with a cursor.
type cursorFile struct {
	path string
	kept string // cursor in the file; "": the file is empty or missing
}

// openCursorFile reads a file, which may be missing, and checks that it can be replaced.
func openCursorFile(path string) (*cursorFile, error) {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target // otherwise a save would replace the symbolic link by a regular file
	}
	f := &cursorFile{path: path}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a regular file", path)
	case info.Mode().Perm()&0o200 == 0: // a rename would succeed in spite of the mode
		return nil, fmt.Errorf("%s is read-only", path)
	default:
		content, err := settings.ReadBounded(path, 1<<10)
		if err != nil {
			return nil, err
		}
		f.kept = strings.TrimSpace(string(content))
		if f.kept != "" && checkCursor(f.kept) != "" {
			return nil, fmt.Errorf("%s does not contain a cursor saved by trivium sub", path)
		}
	}
	probe, err := f.scratch()
	var failed *fs.PathError
	if errors.As(err, &failed) {
		return nil, fmt.Errorf("cannot create a file in %s: %w", filepath.Dir(path), failed.Err)
	}
	if err != nil {
		return nil, err
	}
	return f, errors.Join(probe.Close(), os.Remove(probe.Name()))
}

// scratch creates a temporary file in the same directory. Only its owner can read it.
func (f *cursorFile) scratch() (*os.File, error) {
	return os.CreateTemp(filepath.Dir(f.path), ".trivium-cursor-*")
}

// cursor returns the saved cursor, or "" if there is none.
func (f *cursorFile) cursor() string {
	if f == nil {
		return ""
	}
	return f.kept
}

// save replaces the file atomically: after a crash, the file contains either the old or the new
// cursor. It does nothing if cursor is empty.
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
