package jetstream

import (
	"os"

	"golang.org/x/sys/windows"
)

// lockFile locks the file exclusively, until it is closed or the process ends.
func lockFile(f *os.File) error {
	return windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, new(windows.Overlapped))
}

// syncDir does nothing: Windows cannot sync a directory.
func syncDir(string) error { return nil }
