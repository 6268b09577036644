//go:build !linux

package udp

import (
	"net"
)

// setReadBuffer requests a read buffer of n bytes. The actual size is unknown.
func setReadBuffer(conn *net.UDPConn, n int) (int, error) {
	return n, conn.SetReadBuffer(n)
}

// socketDrops returns 0, because this system does not report drops.
func socketDrops(*net.UDPConn) (uint32, error) { return 0, nil }
