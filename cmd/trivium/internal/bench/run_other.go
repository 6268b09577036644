//go:build !linux

package bench

import (
	"context"
	"errors"
	"io"
)

var errLinux = errors.New("bench needs Linux: it reads by epoll, and the kernel's own count of CPU time and memory")

// Run needs Linux.
func Run(context.Context, Config) (*Report, error) { return nil, errLinux }

// Child needs Linux.
func Child(Config, string, io.Writer) error { return errLinux }
