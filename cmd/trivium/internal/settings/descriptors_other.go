//go:build !unix

package settings

// descriptorLimit returns known = false, because only Unix systems have a limit on open files.
func descriptorLimit() (limit int, known bool) { return 0, false }
