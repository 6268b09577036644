// Package hubtest starts the program as a process for tests, and talks to it as clients do.
//
// A package of tests calls Main from TestMain. Program returns a command that runs the program as the tests are built,
// with the race detector if they have it. Binary returns one without the race detector, for tests of memory. Start runs
// such a command as a hub, waits until it listens, and stops it at the end of the test. The methods of Process publish
// and subscribe.
//
// Start's goroutine reads the log of the process. It ends with the process, for which the test's cleanup waits.
package hubtest
