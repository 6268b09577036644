//go:build unix

package jetstream

import (
	"io/fs"
	"syscall"
)

// fileID identifies a file on its disk: a copy has another one. 0: unknown.
func fileID(info fs.FileInfo) uint64 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return s.Ino
	}
	return 0
}
