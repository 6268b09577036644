package clienttest

import (
	"sync"

	"golang.org/x/sys/unix"
)

// holdPort reserves a free port of 127.0.0.1. Until release is called, the kernel does not assign the port
// to a socket that requests any free port. The reservation is a bound socket that does not listen. A
// listener that requests exactly this port can use it, because Go sets SO_REUSEADDR. release may be called
// more than once.
func holdPort() (port int, release func(), err error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, nil, err
	}
	// A second Close could close another file, because the kernel reuses the numbers of closed descriptors.
	release = sync.OnceFunc(func() { _ = unix.Close(fd) })
	if err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err == nil {
		err = unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
	}
	var address unix.Sockaddr
	if err == nil {
		address, err = unix.Getsockname(fd)
	}
	if err != nil {
		release()
		return 0, nil, err
	}
	return address.(*unix.SockaddrInet4).Port, release, nil
}
