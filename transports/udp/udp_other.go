//go:build !linux

package udp

import "net"

// setReadBuffer asks for a read buffer of n bytes. What the system made of it is not known.
func setReadBuffer(conn *net.UDPConn, n int) (int, error) {
	return n, conn.SetReadBuffer(n)
}

// socketDrops is always 0: the system does not say.
func socketDrops(*net.UDPConn) (uint32, error) { return 0, nil }
