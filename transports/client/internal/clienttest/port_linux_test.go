package clienttest

import (
	"sync"

	"golang.org/x/sys/unix"
)

// holdPort reserves a free port of 127.0.0.1, so that no other process gets it until release is
// called. release may be called again. The reservation is a bound socket that does not listen. The
// kernel does not choose its port for other sockets, but a listener with SO_REUSEADDR, which Go
// sets, can use the port.
func holdPort() (port int, release func(), err error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, nil, err
	}
	// A second Close would close another file, if it has the descriptor fd by then.
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
