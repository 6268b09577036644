//go:build !linux

package jetstream

// bootID is not known here: every unclean end may have been one of the machine.
func bootID() string { return "" }
