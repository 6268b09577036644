package udp

import (
	"net"
	"unsafe"

	"golang.org/x/sys/unix"
)

// setReadBuffer requests a receive buffer of n bytes from the kernel. It returns the actual size, without
// the kernel's overhead.
func setReadBuffer(conn *net.UDPConn, n int) (int, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	got := 0
	var sockErr error
	err = raw.Control(func(fd uintptr) {
		// SO_RCVBUFFORCE may exceed net.core.rmem_max, but requires CAP_NET_ADMIN.
		if unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, n) != nil {
			sockErr = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, n)
		}
		if sockErr == nil {
			got, sockErr = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF)
		}
	})
	if err == nil {
		err = sockErr
	}
	return got / 2, err // socket(7): the kernel doubles the requested size
}

// socketDrops returns the number, modulo 2^32, of datagrams that the kernel has dropped at the socket
// because the buffer was full or a checksum was wrong. It uses SO_MEMINFO, whose counter is always
// current. The counter of SO_RXQ_OVFL would arrive only with the next datagram.
func socketDrops(conn *net.UDPConn) (uint32, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var info [unix.SK_MEMINFO_VARS]uint32
	size := uint32(unsafe.Sizeof(info))
	var errno unix.Errno
	err = raw.Control(func(fd uintptr) {
		_, _, errno = unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_MEMINFO,
			uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	})
	switch {
	case err != nil:
		return 0, err
	case errno != 0:
		return 0, errno
	}
	return info[unix.SK_MEMINFO_DROPS], nil
}
