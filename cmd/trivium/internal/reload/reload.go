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

// These are the intervals of the watcher. Their sum is below 1 s, the time within which a changed
// file must take effect.
const (
	watchPoll  = 250 * time.Millisecond // interval between two reads
	watchQuiet = 100 * time.Millisecond // delay before changed content is read again, because the file may not be written completely yet
	watchGrace = 400 * time.Millisecond // delay before a fault is logged, because it may be temporary, for example while the two files of a pair are replaced one by one
)

// A file of at most watchAlways bytes is read at each poll. A larger file is read only if its size,
// its modification time or the file behind its path has changed, and for watchSettled after that,
// because a file system may give two writes within 2 s the same modification time.
const (
	watchAlways  = 64 << 10
	watchSettled = 3 * time.Second
)

// maxWatchedFile is the maximum size of a watched file in bytes.
const maxWatchedFile = 16 << 20

// Watcher polls files and loads them when their content has changed. It polls instead of using the system's
// notifications, which do not cover network file systems, symbolic links on a path, or a directory that is replaced. If
// the new content cannot be used, the previous content stays in use.
type Watcher struct {
	log     *slog.Logger
	reloads chan struct{}

	// units does not change after Run has started, which then owns the units.
	units []*watchUnit
}

// watchUnit is a group of files that are loaded together, such as a certificate and its key.
type watchUnit struct {
	flags, paths []string
	load         func([][]byte) error

	infos      []fs.FileInfo     // results of Stat when the files were last read; nil for a fault
	infosSince time.Time         // time at which infos changed
	seen       [sha256.Size]byte // hash of the content that was last read
	sum        [sha256.Size]byte // hash of the content that was last loaded, whether it was valid or not
	fault      string            // the reason why the content that was last loaded cannot be used; "": it is in use
	faultSince time.Time         // time at which fault was found; zero: there is no fault, or it is logged
	failures   atomic.Uint64     // number of faults that were logged
	failed     atomic.Bool       // the fault that was last logged still exists
	logged     string            // the fault that was last logged; "": none since the files were last valid
}

// New returns a watcher without files.
func New(log *slog.Logger) *Watcher {
	return &Watcher{log: log, reloads: make(chan struct{}, 1)}
}

// Watch reads the files and calls load with their contents, in order. After that, Run does the same
// whenever a file has changed. load must use either all contents or, if it returns an error, none.
// The error must not contain a secret. Each line of the error of Watch names the first file's flag
// and all paths.
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

// Reload makes Run read all files now and log all faults, including those that were logged before.
func (w *Watcher) Reload() {
	select {
	case w.reloads <- struct{}{}:
	default: // a reload is already pending
	}
}

// Run rereads files that change until ctx ends.
func (w *Watcher) Run(ctx context.Context) {
	timer := time.NewTimer(0) // fires at once, because files may have changed since Watch has read them
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

// rereadChanged loads the files that have changed, and logs the result. It logs a fault only if the
// fault has lasted for watchGrace. next is the time after which rereadChanged must be called again.
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

// Stats returns the statistics of the files, by the first setting of each group of files.
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

// read reads the files, loads them if their content has changed, and reports whether it has loaded
// them. Unless atOnce is set, it loads new content only after it has read the same content twice.
// If it has read new content only once, it sets again.
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
		part := sha256.Sum256(contents[i]) // each content is hashed separately, so that the boundary between two files matters
		hash.Write(part[:])
	}
	sum := [sha256.Size]byte(hash.Sum(nil))
	twice := sum == u.seen
	u.seen = sum
	switch {
	case sum == u.sum:
		return false, false
	case !twice && !atOnce:
		u.infos = nil // the files will be read again, whatever their size
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

// unchanged reports whether the files need not be read again: at least one is large, and according
// to Stat none has changed for watchSettled.
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

// readWatched returns the content of a regular file of at most maxWatchedFile bytes. The error does not name the file.
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
		err = fmt.Errorf("want at most %v", settings.Size(maxWatchedFile))
	}
	return slices.Clip(data), err
}
