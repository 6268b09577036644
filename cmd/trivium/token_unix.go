//go:build unix

package main

import (
	"os"
	"syscall"
)

// keepOwner gives a file the owner of another: a hub that runs as somebody else must go on reading
// what an administrator changes.
func keepOwner(file *os.File, like os.FileInfo) error {
	stat, ok := like.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	return file.Chown(int(stat.Uid), int(stat.Gid))
}
