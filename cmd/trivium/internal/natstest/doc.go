// Package natstest starts NATS servers for tests: Serve in the process of the test, and Start in a separate process,
// which a test can kill or stop.
//
// Start runs the test binary again. TestMain of a package that uses it calls RunServer first.
package natstest
