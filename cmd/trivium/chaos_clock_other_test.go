//go:build unix && !(linux && amd64)

package main

import (
	"testing"
	"time"
)

// setClockAhead returns false: on this platform the clock of a single process cannot be set.
func setClockAhead(*testing.T, int, time.Duration) bool { return false }
