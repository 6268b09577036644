//go:build !linux

package jetstream

// freeSpace reports that the free space is unknown.
func freeSpace(string) (free uint64, known bool) { return 0, false }
