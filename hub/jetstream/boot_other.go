//go:build !linux

package jetstream

// bootID returns "": the boot is unknown, so every unclean end may have been a restart of the machine.
func bootID() string { return "" }
