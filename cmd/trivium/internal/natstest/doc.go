// Package natstest starts NATS servers for tests: Serve in the process of the test, and Start in a separate process,
// which a test can kill or stop.
//
// Start runs the test binary as a NATS server. Therefore, in a package that uses Start, TestMain must call RunServer
// first.
package natstest
