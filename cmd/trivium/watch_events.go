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

// fileEvents receives the system's notifications about changed files. It watches the files' directories, since a watch
// on a file ends when the file is replaced. A nil *fileEvents sends no events: notifications are unavailable.
type fileEvents struct {
	system *fsnotify.Watcher
	names  map[string]bool // paths of the files, symbolic links and directories that lead to a watched file
}

// openEvents starts to receive notifications; it returns nil if they are unavailable.
func (w *watcher) openEvents() *fileEvents {
	system, err := w.notify()
	if err != nil {
		w.warnPolling(err)
		return nil
	}
	return &fileEvents{system: system}
}

// warnPolling logs that the watcher polls its files.
func (w *watcher) warnPolling(err error) {
	w.log.Warn("file notifications unavailable, polling files",
		"every", watchPoll.String(), "error", err.Error())
}

// close stops the notifications.
func (e *fileEvents) close() {
	if e != nil {
		e.system.Close()
	}
}

// events returns the channel of changes in the watched directories.
func (e *fileEvents) events() <-chan fsnotify.Event {
	if e == nil {
		return nil
	}
	return e.system.Events
}

// overflow returns the channel of errors, after which events may be missing.
func (e *fileEvents) overflow() <-chan error {
	if e == nil {
		return nil
	}
	return e.system.Errors
}

// concerns reports whether an event may have changed a watched file. Watched directories also hold other files.
func (e *fileEvents) concerns(event fsnotify.Event) bool { return e.names[event.Name] }

// updateDirs sets the watched directories to those that lead to the files now: symbolic links may have changed. It
// returns nil if a directory cannot be watched.
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
				_ = e.system.Remove(dir) // fails only if the directory is gone, and then its watch is too
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
			// A link in the directory may have changed before the watch began, so the paths are followed again.
			changed = true
		}
	}
	return e
}

// maxLinks bounds the symbolic links that dirsOnPath follows on a path; Linux follows no more either.
const maxLinks = 40

// dirsOnPath returns the directories in which a change may make path lead to another file: those with a symbolic link
// of the path, with the file, or with the first missing element. It adds each element of the path to names.
func dirsOnPath(path string, names map[string]bool) (dirs []string) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil // the working directory is gone, so the file cannot be read either
	}
	root := filepath.VolumeName(path) + string(filepath.Separator)
	at, left := root, strings.TrimPrefix(path, root)
	for links := 0; left != "" && links < maxLinks; {
		var name string
		name, left, _ = strings.Cut(left, string(filepath.Separator))
		if name == "" || name == "." {
			continue
		}
		next := filepath.Join(at, name) // ".." is resolved correctly, as at contains no symbolic link
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
