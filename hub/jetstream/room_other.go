//go:build !linux

package jetstream

// roomIn is not known here.
func roomIn(string) (free uint64, known bool) { return 0, false }
