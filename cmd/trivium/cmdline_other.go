//go:build !unix

package main

import "errors"

// restart is not supported: a process cannot be replaced.
func restart([]string, string) error { return errors.ErrUnsupported }
