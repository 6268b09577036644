//go:build unix

package settings

import (
	"math"

	"golang.org/x/sys/unix"
)

// descriptorLimit returns the maximum number of files that the process may have open. This is the soft limit, which Go's
// runtime has raised to the hard limit before it called main.
func descriptorLimit() (limit int, known bool) {
	var l unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &l) != nil {
		return 0, false
	}
	return int(min(uint64(l.Cur), math.MaxInt32)), true
}
