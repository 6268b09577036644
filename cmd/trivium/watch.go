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

// How a change is waited for. Together they are less than the second within which it counts.
const (
	watchQuiet    = 100 * time.Millisecond // without an event, since who writes a file may not be done
	watchMaxDelay = 250 * time.Millisecond // then it is read even if there were events all the time
	watchGrace    = 400 * time.Millisecond // for a fault to mend itself, as where a pair is replaced one by one
	watchPoll     = 250 * time.Millisecond // between two looks where the system does not tell of changes
)

const maxWatchedFile = 16 << 20 // bytes

// watchedFile is a file that a flag names.
type watchedFile struct{ flag, path string }

// watcher rereads files when they change, in whatever way: written in place, replaced, removed and
// made again, or behind a symbolic link that leads elsewhere. What cannot be used leaves in force
// what was read before.
type watcher struct {
	log     *slog.Logger
	notify  func() (*fsnotify.Watcher, error)
	reloads chan struct{}

	// static before run, owned by it from then on
	units []*watchUnit
}

// watchUnit is one or more files that only make sense together.
type watchUnit struct {
	flags, paths []string
	load         func([][]byte) error

	sum        [sha256.Size]byte // of what was read last, good or not
	fault      string            // of what was read last; "": it is in force
	faultSince time.Time         // when fault was found; zero: it is said
	logged     string            // what the log was told last; "": that all is good
}

func newWatcher(log *slog.Logger) *watcher {
	return &watcher{log: log, notify: fsnotify.NewWatcher, reloads: make(chan struct{}, 1)}
}

// watch reads the files, hands them to load in their order, and has run do so again whenever one
// has changed. load takes all or, with an error that has nothing secret in it, nothing. Each line of
// the error names the first file's flag and all paths.
func (w *watcher) watch(load func([][]byte) error, files ...watchedFile) error {
	u := &watchUnit{load: load}
	for _, f := range files {
		u.flags, u.paths = append(u.flags, f.flag), append(u.paths, f.path)
	}
	if u.read(); u.fault != "" {
		place := u.flags[0] + ": " + u.path() + ": "
		return errors.New(place + strings.ReplaceAll(u.fault, "\n", "\n"+place))
	}
	w.units = append(w.units, u)
	return nil
}

// reload has run read all files now, and say what is wrong with them even if it has before.
func (w *watcher) reload() {
	select {
	case w.reloads <- struct{}{}:
	default: // it has been asked already
	}
}

// run watches until ctx ends. Nothing of it is left then.
func (w *watcher) run(ctx context.Context) {
	events := w.openEvents()
	defer func() { events.close() }()
	ticker := time.NewTicker(watchPoll)
	defer ticker.Stop()
	timer := time.NewTimer(0) // what has changed since it was first read
	defer timer.Stop()
	var first time.Time // event since the last look; zero: there was none
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
		case <-events.overflow(): // some were lost: look at once
		case <-timer.C:
		case <-poll:
		case <-w.reloads:
			for _, u := range w.units {
				u.logged, u.faultSince = "", time.Time{}
			}
		}
		first = time.Time{}
		events = w.updateDirs(events) // before reading, so that nothing is missed in between
		if next := w.rereadChanged(); next > 0 {
			timer.Reset(next)
		}
	}
}

// look reads what has changed, and says what there is to be said. It gives when to look again; 0:
// when something happens.
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
		w.log.Error("a file cannot be used; what was read before stays in force", append(attributes, "error", u.fault)...)
	}
	return again
}

func (u *watchUnit) flag() string { return strings.Join(u.flags, ", ") }

func (u *watchUnit) path() string { return strings.Join(u.paths, ", ") }

// read loads what the files hold, if that is not what they held before.
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
		part := sha256.Sum256(contents[i]) // so that it counts where one file ends
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

// readWatched reads a file whole. The error does not name it.
func readWatched(path string) ([]byte, error) {
	data, err := func() ([]byte, error) {
		info, err := os.Stat(path)
		switch {
		case err != nil:
			return nil, err
		case !info.Mode().IsRegular(): // to open a pipe would wait for who writes to it
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
