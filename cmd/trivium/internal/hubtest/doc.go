// Package hubtest starts the trivium binary as a process for tests, and sends requests to it as clients do.
//
// A package of tests calls Main from TestMain. Program returns a command for a binary built with the same options as the
// tests, including the race detector. Binary returns a command for a binary without the race detector, for memory tests.
// Start runs the binary as a hub, waits until it listens, and stops it at the end of the test. The methods of Process
// publish and subscribe.
//
// Start's goroutine reads the log of the process and ends when the process exits. The test's cleanup waits for the
// process.
package hubtest
