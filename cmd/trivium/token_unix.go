//go:build unix

package main

import (
	"os"
	"syscall"
)

// keepOwner sets the owner and group of file to those of the file that like describes, so that a hub which
// runs as another user can still read the file.
func keepOwner(file *os.File, like os.FileInfo) error {
	stat, ok := like.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	return file.Chown(int(stat.Uid), int(stat.Gid))
}
