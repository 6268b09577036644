package udp

import (
	"net"
	"sync"
)

// kernelDrops accumulates the number of datagrams that the kernel has dropped at one socket. The
// kernel's counter has 32 bits and is lost when the socket is closed.
type kernelDrops struct {
	mu   sync.Mutex // guards the fields below
	last uint32     // last value of the kernel's counter
	sum  uint64
}

// read reads the kernel's counter and returns the sum. After the socket is closed, the sum no
// longer changes.
func (k *kernelDrops) read(conn *net.UDPConn) uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	if n, err := socketDrops(conn); err == nil {
		k.sum += uint64(n - k.last) // correct even when the counter wraps around
		k.last = n
	}
	return k.sum
}
