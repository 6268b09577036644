package reload

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/settings"
)

// TestWatcherNoticesChanges changes a file in every usual way. It makes each change twice, to check
// that the watcher still notices changes after the file was replaced by another one.
func TestWatcherNoticesChanges(t *testing.T) {
	t.Parallel()
	ways := map[string]struct {
		begin  func(t *testing.T, dir string) // creates dir/f; nil: a plain file is created
		change func(t *testing.T, dir, text string)
	}{
		"written in place": {change: func(t *testing.T, dir, text string) { hubtest.WriteFile(t, dir+"/f", text) }},
		"written byte by byte": {change: func(t *testing.T, dir, text string) {
			hubtest.WriteFile(t, dir+"/f", "")
			f, err := os.OpenFile(dir+"/f", os.O_WRONLY|os.O_APPEND, 0)
			require.NoError(t, err)
			defer f.Close()
			for _, b := range []byte(text) {
				_, err := f.Write([]byte{b})
				require.NoError(t, err)
			}
		}},
		"replaced by rename": {change: func(t *testing.T, dir, text string) {
			hubtest.WriteFile(t, dir+"/new", text)
			require.NoError(t, os.Rename(dir+"/new", dir+"/f"))
		}},
		"removed and created": {change: func(t *testing.T, dir, text string) {
			require.NoError(t, os.Remove(dir+"/f"))
			hubtest.WriteFile(t, dir+"/f", text)
		}},
		"link changed": {
			begin: func(t *testing.T, dir string) {
				hubtest.WriteFile(t, dir+"/1", "1")
				require.NoError(t, os.Symlink("1", dir+"/f"))
			},
			change: func(t *testing.T, dir, text string) {
				hubtest.WriteFile(t, dir+"/"+text, text)
				require.NoError(t, os.Symlink(text, dir+"/link"))
				require.NoError(t, os.Rename(dir+"/link", dir+"/f"))
			},
		},
		"target of a link changed": {
			begin: func(t *testing.T, dir string) {
				require.NoError(t, os.Mkdir(dir+"/far", 0o700))
				hubtest.WriteFile(t, dir+"/far/1", "1")
				require.NoError(t, os.Symlink(dir+"/far/1", dir+"/f"))
			},
			change: func(t *testing.T, dir, text string) { hubtest.WriteFile(t, dir+"/far/1", text) },
		},
		"replaced as in Kubernetes": {
			begin: func(t *testing.T, dir string) {
				require.NoError(t, os.Mkdir(dir+"/..1", 0o700))
				hubtest.WriteFile(t, dir+"/..1/f", "1")
				require.NoError(t, os.Symlink("..1", dir+"/..data"))
				require.NoError(t, os.Symlink("..data/f", dir+"/f"))
			},
			change: func(t *testing.T, dir, text string) {
				require.NoError(t, os.Mkdir(dir+"/.."+text, 0o700))
				hubtest.WriteFile(t, dir+"/.."+text+"/f", text)
				old, err := os.Readlink(dir + "/..data")
				require.NoError(t, err)
				require.NoError(t, os.Symlink(".."+text, dir+"/..tmp"))
				require.NoError(t, os.Rename(dir+"/..tmp", dir+"/..data"))
				require.NoError(t, os.RemoveAll(dir+"/"+old))
			},
		},
		"directory replaced": {
			begin: func(t *testing.T, dir string) {
				require.NoError(t, os.MkdirAll(dir+"/a/b", 0o700))
				hubtest.WriteFile(t, dir+"/a/b/f", "1")
				require.NoError(t, os.Symlink("a/b/f", dir+"/f"))
			},
			change: func(t *testing.T, dir, text string) {
				require.NoError(t, os.RemoveAll(dir+"/a"))
				time.Sleep(watchGrace * 3 / 2) // until the watcher has detected that the file is missing
				require.NoError(t, os.MkdirAll(dir+"/a/b", 0o700))
				time.Sleep(watchGrace * 3 / 2) // until the watcher has detected the incomplete file
				hubtest.WriteFile(t, dir+"/a/b/f", text)
			},
		},
	}
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if way.begin == nil {
				hubtest.WriteFile(t, dir+"/f", "1")
			} else {
				way.begin(t, dir)
			}
			w := New((&hubtest.LogRecorder{}).Logger())
			var got atomic.Value
			require.NoError(t, w.Watch(func(contents [][]byte) error {
				got.Store(string(contents[0]))
				return nil
			}, settings.File{Flag: "--flag", Path: dir + "/f"}))
			require.Equal(t, "1", got.Load())
			hubtest.RunUntilEnd(t, w.Run)
			for _, text := range []string{"22", "333"} {
				way.change(t, dir, text)
				require.Eventually(t, func() bool { return got.Load() == text }, hubtest.Patience, time.Millisecond, text)
			}
		})
	}
}

// The watcher logs an error once, even if it lasts, and does not log an error that is corrected soon.
func TestWatcherReportsErrorOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		one, two := dir+"/one", dir+"/two"
		hubtest.WriteFile(t, one, "a")
		hubtest.WriteFile(t, two, "a")
		var log hubtest.LogRecorder
		w := New(log.Logger())
		var loads atomic.Int32
		require.NoError(t, w.Watch(func(contents [][]byte) error {
			loads.Add(1)
			if !bytes.Equal(contents[0], contents[1]) {
				return errors.New("they differ")
			}
			return nil
		}, settings.File{Flag: "--one", Path: one}, settings.File{Flag: "--two", Path: two}))
		hubtest.RunUntilEnd(t, w.Run)
		const long = 5 * time.Second
		time.Sleep(watchPoll / 10) // the change must not coincide with a poll of the watcher
		for _, step := range []struct {
			name  string
			do    func()
			want  []string
			loads int32
		}{
			{"nothing", func() {}, nil, 1},
			{"one after the other", func() {
				hubtest.WriteFile(t, one, "b")
				time.Sleep(watchPoll + watchQuiet + watchGrace/2)
				hubtest.WriteFile(t, two, "b")
			}, []string{"INFO --one, --two two"}, 3},
			{"one file changed", func() { hubtest.WriteFile(t, one, "c") }, []string{"ERROR --one, --two two they differ"}, 4},
			{"same error", func() { hubtest.WriteFile(t, one, "d") }, nil, 5},
			{"missing", func() { require.NoError(t, os.Remove(one)) }, []string{"ERROR --one, --two two " + one + ": no such file or directory"}, 5},
			{"reload requested", w.Reload, []string{"ERROR --one, --two two " + one + ": no such file or directory"}, 5},
			{"a directory", func() { require.NoError(t, os.Mkdir(one, 0o700)) }, []string{"ERROR --one, --two two " + one + ": want a regular file"}, 5},
			{"too large", func() {
				require.NoError(t, os.Remove(one))
				hubtest.WriteFile(t, one, "")
				require.NoError(t, os.Truncate(one, maxWatchedFile+1))
			}, []string{"ERROR --one, --two two " + one + ": want a file of at most 16MiB"}, 5},
			{"valid again", func() { hubtest.WriteFile(t, one, "b") }, []string{"INFO --one, --two two"}, 6},
			{"reload requested without a change", w.Reload, nil, 6},
			{"written in parts, each of which is valid", func() {
				for _, part := range []string{"x", "y", "z"} {
					hubtest.WriteFile(t, one, part)
					hubtest.WriteFile(t, two, part)
					time.Sleep(watchQuiet * 3 / 4)
				}
			}, []string{"INFO --one, --two two"}, 7},
		} {
			step.do()
			time.Sleep(long)
			require.Equal(t, step.want, log.Take(t), step.name)
			require.Equal(t, step.loads, loads.Load(), step.name)
		}
	})
}

// Watch returns an error if a file is missing or cannot be loaded.
func TestWatcherStartFailsOnError(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "f")
	w := New((&hubtest.LogRecorder{}).Logger())
	load := func([][]byte) error { return errors.New("line 3: want more") }
	require.EqualError(t, w.Watch(load, settings.File{Flag: "--tokens", Path: path}), "--tokens: "+path+": no such file or directory")
	hubtest.WriteFile(t, path, "x")
	require.EqualError(t, w.Watch(load, settings.File{Flag: "--tokens", Path: path}), "--tokens: "+path+": line 3: want more")
	require.Empty(t, w.units)
}

// The watcher does not read a large file again if it has not changed for a while, but notices its next change.
func TestWatcherSkipsLargeFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "f")
		text := strings.Repeat("x", watchAlways+1)
		hubtest.WriteFile(t, path, text)
		w := New((&hubtest.LogRecorder{}).Logger())
		var got string
		require.NoError(t, w.Watch(func(contents [][]byte) error {
			got = string(contents[0])
			return nil
		}, settings.File{Flag: "--flag", Path: path}))
		poll := func(total time.Duration) {
			for range total / watchPoll {
				time.Sleep(watchPoll)
				w.rereadChanged()
			}
		}
		poll(watchSettled / 2)
		require.False(t, w.units[0].unchanged())
		poll(watchSettled)
		require.True(t, w.units[0].unchanged())
		hubtest.WriteFile(t, path, text+"y")
		poll(time.Second)
		require.Equal(t, text+"y", got)
	})
}
