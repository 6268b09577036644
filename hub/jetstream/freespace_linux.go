package jetstream

import "golang.org/x/sys/unix"

// freeSpace gives how many bytes the disk of a directory takes yet.
func freeSpace(dir string) (free uint64, known bool) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, false
	}
	return s.Bavail * uint64(s.Bsize), true
}
