//go:build unix

package main

import (
	"os"
	"syscall"
)

// restart replaces the process by the same program with other arguments and with hiddenArgs in its environment. It
// returns only if that fails.
func restart(args []string, hidden string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return syscall.Exec(self, append([]string{os.Args[0]}, args...), append(os.Environ(), hiddenArgs+"="+hidden))
}
