//go:build unix

package main

import (
	"os"
	"syscall"
)

// keepOwner sets the owner and group of a file. It takes them from the parameter like, which describes
// another file or a directory. A hub that runs as another user can then still read the file.
func keepOwner(file *os.File, like os.FileInfo) error {
	stat, ok := like.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	return file.Chown(int(stat.Uid), int(stat.Gid))
}
