//go:build !unix

package main

import "net"

// descriptorLimit returns known = false: systems other than Unix have no limit of open files.
func descriptorLimit() (limit int, known bool) { return 0, false }

// descriptorOf returns known = false: without a limit the number of a socket's descriptor is not needed.
func descriptorOf(net.Conn) (number int, known bool) { return 0, false }
