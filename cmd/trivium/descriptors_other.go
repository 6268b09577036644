//go:build !unix

package main

import "net"

// descriptorLimit returns how many files the process may have open: the system has no such limit.
func descriptorLimit() (limit int, known bool) { return 0, false }

// descriptorOf returns the number of a socket's descriptor, which is not looked at.
func descriptorOf(net.Conn) (number int, known bool) { return 0, false }
