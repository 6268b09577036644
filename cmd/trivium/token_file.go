package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/settings"
)

// changeFile atomically replaces a file by the result of change. The file keeps its mode and owner. A new file is
// accessible to its owner only. If the process may set the owner, a new file belongs to the owner of the directory,
// because root may create tokens in the directory of a hub that runs as another user. While changeFile runs, FILE.lock
// exists, so that concurrent changes are not lost. If the file cannot be replaced, for example because it is mounted
// into a container, changeFile appends to it.
func changeFile(path string, change func(old []byte) ([]byte, error)) (err error) {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target // keeps the symbolic link
	}
	lock := path + ".lock"
	temp, lockErr := openNew(lock)
	if errors.Is(lockErr, fs.ErrExist) {
		return fmt.Errorf("%[1]s exists, so another command may be changing the tokens file; if none is running, remove %[1]s", lock)
	}
	if lockErr == nil {
		defer func() {
			_ = temp.Close()
			if err != nil {
				_ = os.Remove(lock)
			}
		}()
	}
	old, err := settings.ReadBounded(path, maxTokenFile)
	isNew := errors.Is(err, fs.ErrNotExist)
	if err != nil && !isNew {
		return err
	}
	text, err := change(old)
	if err != nil {
		return inFile(path, err)
	}
	if lockErr == nil {
		lockErr = replaceFile(path, temp, text, isNew)
	}
	switch {
	case lockErr == nil:
		return nil
	case isNew || !bytes.HasPrefix(text, old):
		return lockErr
	}
	if err := appendFile(path, text[len(old):]); err != nil {
		return err
	}
	_ = os.Remove(lock)
	return nil
}

// lockPatience is the maximum time to wait until another command that changes the file has removed its lock.
const lockPatience = 2 * time.Second

// openNew creates a file. If the file exists, openNew waits until it is removed.
func openNew(path string) (*os.File, error) {
	for begin := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if !errors.Is(err, fs.ErrExist) || time.Since(begin) > lockPatience {
			return file, err
		}
	}
}

// replaceFile writes the new content to the file temp and renames it to path.
func replaceFile(path string, temp *os.File, text []byte, isNew bool) error {
	if isNew {
		if dir, err := os.Stat(filepath.Dir(path)); err == nil {
			_ = keepOwner(temp, dir) // fails unless the process runs as root
		}
	} else {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		if err := keepOwner(temp, info); err != nil {
			return err
		}
		if err := os.Chmod(temp.Name(), info.Mode().Perm()); err != nil {
			return err
		}
	}
	if _, err := temp.Write(text); err != nil {
		return err
	}
	if err := temp.Sync(); err != nil {
		return err
	}
	if err := temp.Close(); err != nil { // Windows cannot rename an open file
		return err
	}
	return os.Rename(temp.Name(), path)
}

func appendFile(path string, text []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	return errors.Join(err, file.Sync(), file.Close())
}
