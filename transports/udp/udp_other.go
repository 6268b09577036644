//go:build !linux

package udp

import (
	"net"
)

// setReadBuffer requests a receive buffer of n bytes from the kernel. It returns n, because the actual
// size is unknown.
func setReadBuffer(conn *net.UDPConn, n int) (int, error) {
	return n, conn.SetReadBuffer(n)
}

// socketDrops returns 0, because the number of dropped datagrams is read only on Linux.
func socketDrops(*net.UDPConn) (uint32, error) { return 0, nil }
