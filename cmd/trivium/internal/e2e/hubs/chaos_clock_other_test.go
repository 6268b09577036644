//go:build unix && !(linux && amd64)

package hubs

import (
	"testing"
	"time"
)

// setClockAhead returns false: on this platform, tests cannot set the clock of a single process.
func setClockAhead(*testing.T, int, time.Duration) bool { return false }
