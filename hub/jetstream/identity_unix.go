//go:build unix

package jetstream

import (
	"io/fs"
	"syscall"
)

// fileID returns a number that differs between a file and a copy of it, or 0 if it is unknown.
func fileID(info fs.FileInfo) uint64 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return s.Ino
	}
	return 0
}
