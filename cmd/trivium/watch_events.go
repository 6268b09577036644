package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fsnotify/fsnotify"
)

// fileEvents are what the system tells of changes. Directories are watched and not files, as a
// file that is replaced is another one. Nil: it tells nothing.
type fileEvents struct {
	system *fsnotify.Watcher
	names  map[string]bool // whatever stands on the way to a file, by the directory it stands in
}

// open begins to listen; nil where the system cannot be had.
func (w *watcher) openEvents() *fileEvents {
	system, err := w.notify()
	if err != nil {
		w.warnPolling(err)
		return nil
	}
	return &fileEvents{system: system}
}

func (w *watcher) warnPolling(err error) {
	w.log.Warn("the system does not tell of changed files; they are looked at again and again",
		"every", watchPoll.String(), "error", err.Error())
}

func (e *fileEvents) close() {
	if e != nil {
		e.system.Close()
	}
}

func (e *fileEvents) events() <-chan fsnotify.Event {
	if e == nil {
		return nil
	}
	return e.system.Events
}

func (e *fileEvents) overflow() <-chan error {
	if e == nil {
		return nil
	}
	return e.system.Errors
}

// concerns reports that an event may have changed a file. A directory is full of others' files.
func (e *fileEvents) concerns(event fsnotify.Event) bool { return e.names[event.Name] }

// follow watches the directories on the way to the files, which may be others now. It gives nil
// where that cannot be.
func (w *watcher) updateDirs(e *fileEvents) *fileEvents {
	if e == nil {
		return nil
	}
	changed := true
	for range maxLinks {
		if !changed {
			break
		}
		changed = false
		e.names = map[string]bool{}
		var dirs []string
		for _, u := range w.units {
			for _, path := range u.paths {
				dirs = append(dirs, dirsOnPath(path, e.names)...)
			}
		}
		watched := e.system.WatchList()
		for _, dir := range watched {
			if !slices.Contains(dirs, dir) {
				_ = e.system.Remove(dir) // fails only if it is gone, and its watch with it
			}
		}
		for _, dir := range dirs {
			if slices.Contains(watched, dir) {
				continue
			}
			err := e.system.Add(dir)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				w.warnPolling(err)
				e.close()
				return nil
			}
			// It may have changed before it was watched, and the way lead elsewhere.
			changed = true
		}
	}
	return e
}

// maxLinks on a way are more than systems follow.
const maxLinks = 40

// trail gives the directories in which something may change that has a path lead to another file,
// or to one at all: those that hold a symbolic link, the file, or what is missing. It events what
// stands in them on the way.
func dirsOnPath(path string, names map[string]bool) (dirs []string) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil // there is no working directory, and nothing to be read
	}
	root := filepath.VolumeName(path) + string(filepath.Separator)
	at, left := root, strings.TrimPrefix(path, root)
	for links := 0; left != "" && links < maxLinks; {
		var name string
		name, left, _ = strings.Cut(left, string(filepath.Separator))
		if name == "" || name == "." {
			continue
		}
		next := filepath.Join(at, name) // ".." is right, as at has no link in it
		names[next] = true
		info, err := os.Lstat(next)
		switch {
		case err != nil:
			return append(dirs, at)
		case info.Mode()&fs.ModeSymlink != 0:
			links++
			dirs = append(dirs, at)
			target, err := os.Readlink(next)
			if err != nil {
				return dirs
			}
			if filepath.IsAbs(target) {
				at, target = root, strings.TrimPrefix(target, root)
			}
			left = target + string(filepath.Separator) + left
		case !info.IsDir() || left == "":
			return append(dirs, at)
		default:
			at = next
		}
	}
	return dirs
}
