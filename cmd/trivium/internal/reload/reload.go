package reload

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
	"sync/atomic"
	"time"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/settings"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/stats"
)

// These are the intervals of the watcher. Their sum is less than 1 s, because a changed file must take
// effect within a second.
const (
	// watchPoll is the interval between two polls of the files.
	watchPoll = 250 * time.Millisecond
	// watchQuiet is the delay between the first and the second read of changed content. The content is
	// loaded only if both reads return the same, because a process may still be writing the file.
	watchQuiet = 100 * time.Millisecond
	// watchGrace is the time for which a fault must last before it is logged. A fault may be temporary, for example while
	// the two files of a pair are replaced one after the other.
	watchGrace = 400 * time.Millisecond
)

// A file of at most watchAlways bytes is read at each poll. A larger file is read only if its size, its
// modification time or the file to which its path leads has changed within the last watchSettled.
// watchSettled is longer than 2 s, because some file systems store modification times with a precision
// of 2 s.
const (
	watchAlways  = 64 << 10
	watchSettled = 3 * time.Second
)

// maxWatchedFile is the maximum size of a watched file in bytes.
const maxWatchedFile = 16 << 20

// Watcher polls files and loads them when their content has changed. If the new content cannot be used, the previous
// content stays in use. Watcher does not use the notifications of the system, because they do not cover network file
// systems, symbolic links in a path, and directories that are replaced.
type Watcher struct {
	log     *slog.Logger
	reloads chan struct{}

	// units does not change after Run has been called. From then on, goroutines other than Run's may read
	// only the flags and the atomic fields of the units.
	units []*watchUnit
}

// watchUnit is a group of files that are loaded together, such as a certificate and its key.
type watchUnit struct {
	flags, paths []string
	load         func([][]byte) error

	infos      []fs.FileInfo     // results of Stat after the last change of a file; nil: the files must be read
	infosSince time.Time         // time at which infos changed
	seen       [sha256.Size]byte // hash of the content that was last read
	sum        [sha256.Size]byte // hash of the content that was last passed to load, whether it was valid or not
	fault      string            // reason why the content with the hash sum cannot be used; "": it is in use
	faultSince time.Time         // time at which fault was found; zero: there is no fault, or it was logged
	failures   atomic.Uint64     // number of faults that were logged
	failed     atomic.Bool       // whether the fault that was last logged still exists
	logged     string            // fault that was last logged; "": none was logged since the files were last valid
}

// New returns a watcher without files.
func New(log *slog.Logger) *Watcher {
	return &Watcher{log: log, reloads: make(chan struct{}, 1)}
}

// Watch reads the files and calls load with their contents, in the order of the files. After that, Run
// does the same whenever a file has changed. If load returns an error, it must not use any of the
// contents. The error must not contain a secret. If Watch returns an error, each line of the error
// begins with the flag of the first file and the paths of all files.
func (w *Watcher) Watch(load func([][]byte) error, files ...settings.File) error {
	u := &watchUnit{load: load}
	for _, f := range files {
		u.flags, u.paths = append(u.flags, f.Flag), append(u.paths, f.Path)
	}
	if u.read(true); u.fault != "" {
		prefix := u.flags[0] + ": " + u.path() + ": "
		return errors.New(prefix + strings.ReplaceAll(u.fault, "\n", "\n"+prefix))
	}
	w.units = append(w.units, u)
	return nil
}

// Reload makes Run read all files immediately and log all faults, including faults that were logged before.
func (w *Watcher) Reload() {
	select {
	case w.reloads <- struct{}{}:
	default: // a reload is already pending
	}
}

// Run polls the files and loads files that have changed, until ctx is canceled.
func (w *Watcher) Run(ctx context.Context) {
	timer := time.NewTimer(0) // fires immediately, because files may have changed since Watch has read them
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-w.reloads:
			for _, u := range w.units {
				u.logged, u.faultSince, u.infos = "", time.Time{}, nil
			}
		}
		timer.Reset(w.rereadChanged())
	}
}

// rereadChanged loads the files that have changed, and logs the result. It logs a fault only after the
// fault has lasted for watchGrace. It returns the time after which it must be called again.
func (w *Watcher) rereadChanged() (next time.Duration) {
	next = watchPoll
	for _, u := range w.units {
		changed, again := u.read(false)
		if again {
			next = min(next, watchQuiet)
		}
		attributes := []any{"flag", u.flag(), "path", u.path()}
		switch {
		case u.fault == "":
			u.faultSince, u.logged = time.Time{}, ""
			u.failed.Store(false)
			if changed {
				w.log.Info("reloaded a file", attributes...)
			}
			continue
		case u.fault == u.logged:
			continue
		case u.faultSince.IsZero():
			u.faultSince = time.Now()
		}
		if left := time.Until(u.faultSince.Add(watchGrace)); left > 0 {
			next = min(next, left)
			continue
		}
		u.faultSince, u.logged = time.Time{}, u.fault
		u.failures.Add(1)
		u.failed.Store(true)
		w.log.Error("a changed file cannot be used; its previous content stays in use", append(attributes, "error", u.fault)...)
	}
	return next
}

// Stats returns the statistics of each group of files. The key is the name of the first file's flag without hyphens.
func (w *Watcher) Stats() map[string]stats.File {
	files := make(map[string]stats.File, len(w.units))
	for _, u := range w.units {
		files[strings.TrimPrefix(u.flags[0], "--")] = stats.File{Failures: u.failures.Load(), Failed: u.failed.Load()}
	}
	return files
}

// flag returns the flags of all files for the log.
func (u *watchUnit) flag() string { return strings.Join(u.flags, ", ") }

// path returns the paths of all files for the log.
func (u *watchUnit) path() string { return strings.Join(u.paths, ", ") }

// read reads the files and, if their content has changed, calls load. It reports whether it has called
// load. Unless atOnce is set, it calls load only after it has read the same new content twice. After it
// has read new content for the first time, it returns again = true.
func (u *watchUnit) read(atOnce bool) (loaded, again bool) {
	if u.unchanged() {
		return false, false
	}
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
		part := sha256.Sum256(contents[i]) // hashed separately, so that bytes moved from one file to the next change the hash
		hash.Write(part[:])
	}
	sum := [sha256.Size]byte(hash.Sum(nil))
	twice := sum == u.seen
	u.seen = sum
	switch {
	case sum == u.sum:
		return false, false
	case !twice && !atOnce:
		u.infos = nil // makes the next call read the files again, even if they are large
		return false, true
	}
	if u.sum = sum; err == nil {
		err = u.load(contents)
	}
	if u.fault = ""; err != nil {
		u.fault = err.Error()
	}
	return true, false
}

// unchanged reports whether the files need not be read again, because at least one of them is large
// and, according to Stat, none has changed for the time watchSettled.
func (u *watchUnit) unchanged() bool {
	infos := make([]fs.FileInfo, len(u.paths))
	large, same := false, len(u.infos) == len(infos)
	for i, path := range u.paths {
		info, err := os.Stat(path)
		if err != nil {
			u.infos = nil
			return false
		}
		infos[i] = info
		large = large || info.Size() > watchAlways
		same = same && os.SameFile(info, u.infos[i]) && info.Size() == u.infos[i].Size() && info.ModTime().Equal(u.infos[i].ModTime())
	}
	if !same {
		u.infos, u.infosSince = infos, time.Now()
	}
	return large && same && time.Since(u.infosSince) > watchSettled
}

// readWatched returns the content of a file. It returns an error if the file is not a regular file or is larger than
// maxWatchedFile bytes. The error does not contain the name of the file.
func readWatched(path string) ([]byte, error) {
	data, err := func() ([]byte, error) {
		info, err := os.Stat(path)
		switch {
		case err != nil:
			return nil, err
		case !info.Mode().IsRegular(): // opening a named pipe would block until another process opens it for writing
			return nil, errors.New("want a regular file")
		}
		return settings.ReadBounded(path, maxWatchedFile)
	}()
	var named *fs.PathError
	if errors.As(err, &named) {
		err = named.Err
	}
	if len(data) > maxWatchedFile {
		err = fmt.Errorf("want a file of at most %v", settings.Size(maxWatchedFile))
	}
	return slices.Clip(data), err
}
