// Package hubs contains tests that run hubs as processes. They check which events the hubs deliver,
// how they start and drain, their logs and metrics, their use of memory, and that clusters lose no
// events when servers and networks fail.
package hubs
