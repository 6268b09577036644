//go:build !linux

package bench

import (
	"context"
	"errors"
	"io"
)

var errLinux = errors.New("bench requires Linux, for epoll and for the kernel's CPU and memory counters")

// Run returns an error: bench requires Linux.
func Run(context.Context, Config) (*Report, error) { return nil, errLinux }

// Child returns an error: bench requires Linux.
func Child(Config, string, io.Writer) error { return errLinux }
