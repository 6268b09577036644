//go:build !unix

package main

import "errors"

// restart returns an error, because a process cannot be replaced on this system.
func restart([]string, string) error { return errors.ErrUnsupported }
