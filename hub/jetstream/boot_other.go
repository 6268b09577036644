//go:build !linux

package jetstream

// bootID returns "", because the ID of a boot is read only on Linux. On other systems, if the store was not
// closed cleanly, the engine must assume that the machine was restarted.
func bootID() string { return "" }
