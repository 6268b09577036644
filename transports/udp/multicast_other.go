//go:build !linux

package udp

import (
	"fmt"
	"net"
)

// listenGroup returns an error, because a socket of package net would receive datagrams to any
// address.
func listenGroup(group *net.UDPAddr, _ string) (*net.UDPConn, error) {
	return nil, fmt.Errorf("multicast groups such as %v are supported on Linux only", group.IP)
}
