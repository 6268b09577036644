package udp

import (
	"net"
	"sync"
)

// kernelDrops counts the datagrams that the kernel has dropped at one socket. The kernel's own counter
// has 32 bits, and cannot be read after the socket is closed.
type kernelDrops struct {
	mu   sync.Mutex // guards the fields below
	last uint32     // last value that was read from the kernel's counter
	sum  uint64     // number of dropped datagrams
}

// read reads the kernel's counter and returns the number of dropped datagrams. After the socket is
// closed, the number no longer changes.
func (k *kernelDrops) read(conn *net.UDPConn) uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	if n, err := socketDrops(conn); err == nil {
		k.sum += uint64(n - k.last) // correct even when the counter wraps around
		k.last = n
	}
	return k.sum
}
