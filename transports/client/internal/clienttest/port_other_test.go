//go:build !linux && !js

package clienttest

// holdPort reserves no port, so another process may take the port of a proxy that is being replaced. See
// port_linux_test.go.
func holdPort() (port int, release func(), err error) { return 0, func() {}, nil }
