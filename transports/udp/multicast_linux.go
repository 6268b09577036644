package udp

import (
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// listenGroup opens a socket and joins a multicast group on the interface with the given name. The socket
// receives only datagrams to the group. A socket of package net would be bound to all addresses and would
// also receive other datagrams.
func listenGroup(group *net.UDPAddr, name string) (*net.UDPConn, error) {
	index := 0 // the kernel then chooses the interface
	if name == "" {
		name = group.Zone
	}
	if name != "" {
		ifi, err := net.InterfaceByName(name)
		if err != nil {
			return nil, fmt.Errorf("interface %q: %w", name, err)
		}
		index = ifi.Index
	}
	family, address, join := groupSockets(group, index)
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	socket := os.NewFile(uintptr(fd), "udp "+group.String())
	defer func() { _ = socket.Close() }() // FilePacketConn has duplicated the descriptor
	// SO_REUSEADDR lets several processes use the port. Each process that has joined the group receives
	// every datagram.
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return nil, os.NewSyscallError("setsockopt", err)
	}
	if err := unix.Bind(fd, address); err != nil {
		return nil, fmt.Errorf("listen to the group %v: %w", group, os.NewSyscallError("bind", err))
	}
	if err := join(fd); err != nil {
		return nil, fmt.Errorf("join the group %v: %w", group, os.NewSyscallError("setsockopt", err))
	}
	conn, err := net.FilePacketConn(socket)
	if err != nil {
		return nil, err
	}
	return conn.(*net.UDPConn), nil
}

// groupSockets returns the address family and the address of a socket for the group, and a function
// that joins the group.
func groupSockets(group *net.UDPAddr, index int) (family int, address unix.Sockaddr, join func(fd int) error) {
	if ip4 := group.IP.To4(); ip4 != nil {
		at := &unix.SockaddrInet4{Port: group.Port, Addr: [4]byte(ip4)}
		return unix.AF_INET, at, func(fd int) error {
			return unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_ADD_MEMBERSHIP,
				&unix.IPMreqn{Multiaddr: at.Addr, Ifindex: int32(index)})
		}
	}
	at := &unix.SockaddrInet6{Port: group.Port, Addr: [16]byte(group.IP.To16()), ZoneId: uint32(index)}
	return unix.AF_INET6, at, func(fd int) error {
		return unix.SetsockoptIPv6Mreq(fd, unix.IPPROTO_IPV6, unix.IPV6_JOIN_GROUP,
			&unix.IPv6Mreq{Multiaddr: at.Addr, Interface: uint32(index)})
	}
}
