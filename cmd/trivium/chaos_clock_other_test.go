//go:build unix && !(linux && amd64)

package main

import (
	"testing"
	"time"
)

// setClockAhead returns false: on this platform, tests cannot set the clock of a single process.
func setClockAhead(*testing.T, int, time.Duration) bool { return false }
