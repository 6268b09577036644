//go:build unix

package server

import (
	"net"
	"syscall"
)

// descriptorOf returns the number of the file descriptor of a connection.
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
