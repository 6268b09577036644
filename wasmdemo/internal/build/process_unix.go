//go:build unix

package build

import (
	"os/exec"
	"syscall"
)

// ownGroup runs a command in a process group of its own. When the command's context ends, the group
// is interrupted, so that the toolchain removes its temporary files.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }
}

// killGroup kills the remaining processes of a group.
func killGroup(leader int) { _ = syscall.Kill(-leader, syscall.SIGKILL) } // fails if there are none

// niceness gives other processes precedence over the build.
const niceness = 10

func lowerPriority(leader int) {
	_ = syscall.Setpriority(syscall.PRIO_PGRP, leader, niceness) // the build also works without it
}
