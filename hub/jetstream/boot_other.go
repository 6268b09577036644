//go:build !linux

package jetstream

// bootID returns "": on this system, boots cannot be distinguished. After an unclean end, the store
// must assume that the machine was restarted.
func bootID() string { return "" }
