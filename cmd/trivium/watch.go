package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Times of the watcher. Their sum is less than 1 s, the time within which a changed file takes effect.
const (
	watchQuiet    = 100 * time.Millisecond // without an event before files are read: the writer of a file may not be done
	watchMaxDelay = 250 * time.Millisecond // after the first event: then files are read even if events keep coming
	watchGrace    = 400 * time.Millisecond // before a fault is logged: it may go away, as when the two files of a pair are replaced one by one
	watchPoll     = 250 * time.Millisecond // between two reads if file notifications are unavailable
)

// maxWatchedFile is the limit of a watched file's size in bytes.
const maxWatchedFile = 16 << 20

// watchedFile is a file that a flag names.
type watchedFile struct{ flag, path string }

// watcher rereads files when they change: when they are written in place, replaced, removed and created again, or when
// a symbolic link on their path changes. If the new content cannot be used, the previous content stays in use.
type watcher struct {
	log     *slog.Logger
	notify  func() (*fsnotify.Watcher, error)
	reloads chan struct{}

	// Not changed after run has started, which then owns the units.
	units []*watchUnit
}

// watchUnit is a group of files that are loaded together, such as a certificate and its key.
type watchUnit struct {
	flags, paths []string
	load         func([][]byte) error

	sum        [sha256.Size]byte // hash of the content that was read last, valid or not
	fault      string            // why the content that was read last cannot be used; "": it is in use
	faultSince time.Time         // when fault was found; zero: none, or it is logged
	logged     string            // the fault that was logged last; "": none since the files were valid
}

// newWatcher returns a watcher without files.
func newWatcher(log *slog.Logger) *watcher {
	return &watcher{log: log, notify: fsnotify.NewWatcher, reloads: make(chan struct{}, 1)}
}

// watch reads the files and calls load with their contents, in order. From then on run does the same whenever a file
// has changed. load uses all contents, or none if it returns an error; the error must contain no secret. Each line of
// watch's error names the first file's flag and all paths.
func (w *watcher) watch(load func([][]byte) error, files ...watchedFile) error {
	u := &watchUnit{load: load}
	for _, f := range files {
		u.flags, u.paths = append(u.flags, f.flag), append(u.paths, f.path)
	}
	if u.read(); u.fault != "" {
		prefix := u.flags[0] + ": " + u.path() + ": "
		return errors.New(prefix + strings.ReplaceAll(u.fault, "\n", "\n"+prefix))
	}
	w.units = append(w.units, u)
	return nil
}

// reload makes run read all files now, and log all faults, even those that were logged before.
func (w *watcher) reload() {
	select {
	case w.reloads <- struct{}{}:
	default: // a reload is pending already
	}
}

// run rereads files that change until ctx ends.
func (w *watcher) run(ctx context.Context) {
	events := w.openEvents()
	defer func() { events.close() }()
	ticker := time.NewTicker(watchPoll)
	defer ticker.Stop()
	timer := time.NewTimer(0) // fires at once: files may have changed since watch read them
	defer timer.Stop()
	var first time.Time // first event since files were last read; zero: there was none
	for {
		poll := ticker.C
		if events != nil {
			poll = nil
		}
		select {
		case <-ctx.Done():
			return
		case event := <-events.events():
			if !events.concerns(event) {
				continue
			}
			if first.IsZero() {
				first = time.Now()
			}
			timer.Reset(min(watchQuiet, time.Until(first.Add(watchMaxDelay))))
			continue
		case <-events.overflow(): // events were lost: read at once
		case <-timer.C:
		case <-poll:
		case <-w.reloads:
			for _, u := range w.units {
				u.logged, u.faultSince = "", time.Time{}
			}
		}
		first = time.Time{}
		events = w.updateDirs(events) // before reading, so that no change in between is missed
		if next := w.rereadChanged(); next > 0 {
			timer.Reset(next)
		}
	}
}

// rereadChanged loads the files that have changed, and logs the result. A fault is logged once it has lasted for
// watchGrace. again is the time after which to call rereadChanged again to log a fault; 0 if there is none to log.
func (w *watcher) rereadChanged() (again time.Duration) {
	for _, u := range w.units {
		changed := u.read()
		attributes := []any{"flag", u.flag(), "path", u.path()}
		switch {
		case u.fault == "":
			u.faultSince, u.logged = time.Time{}, ""
			if changed {
				w.log.Info("reread a file", attributes...)
			}
			continue
		case u.fault == u.logged:
			continue
		case u.faultSince.IsZero():
			u.faultSince = time.Now()
		}
		if left := time.Until(u.faultSince.Add(watchGrace)); left > 0 {
			again = max(again, left)
			continue
		}
		u.faultSince, u.logged = time.Time{}, u.fault
		w.log.Error("a changed file cannot be used; its previous content stays in use", append(attributes, "error", u.fault)...)
	}
	return again
}

// flag returns the flags of all files for the log.
func (u *watchUnit) flag() string { return strings.Join(u.flags, ", ") }

// path returns the paths of all files for the log.
func (u *watchUnit) path() string { return strings.Join(u.paths, ", ") }

// read reads the files, loads them if their content has changed, and reports whether it has.
func (u *watchUnit) read() (changed bool) {
	contents := make([][]byte, len(u.paths))
	var err error
	hash := sha256.New()
	for i, path := range u.paths {
		if contents[i], err = readWatched(path); err != nil {
			if len(u.paths) > 1 {
				err = fmt.Errorf("%s: %w", path, err)
			}
			fmt.Fprint(hash, err)
			break
		}
		part := sha256.Sum256(contents[i]) // hashed one by one, so that the boundary between two files matters
		hash.Write(part[:])
	}
	sum := [sha256.Size]byte(hash.Sum(nil))
	if sum == u.sum {
		return false
	}
	if u.sum = sum; err == nil {
		err = u.load(contents)
	}
	if u.fault = ""; err != nil {
		u.fault = err.Error()
	}
	return true
}

// readWatched returns the content of a regular file of at most maxWatchedFile bytes. The error does not name the file.
func readWatched(path string) ([]byte, error) {
	data, err := func() ([]byte, error) {
		info, err := os.Stat(path)
		switch {
		case err != nil:
			return nil, err
		case !info.Mode().IsRegular(): // opening a named pipe would block until a writer opens it
			return nil, errors.New("want a regular file")
		}
		return readBounded(path, maxWatchedFile)
	}()
	var named *fs.PathError
	if errors.As(err, &named) {
		err = named.Err
	}
	if len(data) > maxWatchedFile {
		err = fmt.Errorf("want at most %v", Size(maxWatchedFile))
	}
	return slices.Clip(data), err
}
