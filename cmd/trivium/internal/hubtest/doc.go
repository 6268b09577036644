// Package hubtest starts trivium as a process for tests, and sends requests to it as clients do.
//
// A package with such tests calls Main from TestMain. Program returns a command for a binary that was built with the same
// options as the tests, which may include the race detector. Binary returns a command for a binary that was built without
// the race detector, for tests that measure memory. Start runs such a command as a hub, waits until the hub listens, and
// stops it at the end of the test. The methods of Process publish and subscribe.
//
// Start starts a goroutine that reads the log of the process and ends when the process exits. At the end of the test, a
// cleanup function waits for the process.
package hubtest
