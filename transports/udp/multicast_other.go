//go:build !linux

package udp

import (
	"fmt"
	"net"
)

// listenGroup returns an error, because it is implemented only for Linux. A socket of package net would
// also receive datagrams to other addresses.
func listenGroup(group *net.UDPAddr, _ string) (*net.UDPConn, error) {
	return nil, fmt.Errorf("multicast groups such as %v are supported on Linux only", group.IP)
}
