//go:build !linux

package jetstream

// bootID returns "": on this system, boots cannot be distinguished. If the store was not closed
// cleanly, the engine must assume that the machine was restarted.
func bootID() string { return "" }
