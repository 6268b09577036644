//go:build unix

package main

import (
	"math"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// descriptorLimit returns the number of files that the process may have open. Go's runtime raises the soft limit to
// the hard limit before main runs.
func descriptorLimit() (limit int, known bool) {
	var l unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &l) != nil {
		return 0, false
	}
	return int(min(uint64(l.Cur), math.MaxInt32)), true
}

// descriptorOf returns the number of a socket's descriptor.
func descriptorOf(conn net.Conn) (number int, known bool) {
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return 0, false
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return 0, false
	}
	err = raw.Control(func(fd uintptr) { number = int(fd) })
	return number, err == nil
}
