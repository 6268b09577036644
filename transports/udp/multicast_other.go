//go:build !linux

package udp

import (
	"fmt"
	"net"
)

// listenGroup refuses: the net package would take datagrams to every address of the machine.
func listenGroup(group *net.UDPAddr, _ string) (*net.UDPConn, error) {
	return nil, fmt.Errorf("multicast groups such as %v are taken on Linux only", group.IP)
}
