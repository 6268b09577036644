//go:build !unix

package build

import "os/exec"

func ownGroup(*exec.Cmd) {}

func killGroup(int) {}

func lowerPriority(int) {}
