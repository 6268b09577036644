//go:build !unix

package settings

// descriptorLimit returns known = false: systems other than Unix have no limit of open files.
func descriptorLimit() (limit int, known bool) { return 0, false }
