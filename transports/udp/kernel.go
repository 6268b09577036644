package udp

import (
	"net"
	"sync"
)

// kernelDrops accumulates the kernel's drop counter of one socket. That counter has 32 bits and is
// lost with the socket.
type kernelDrops struct {
	mu   sync.Mutex // guards the fields below
	last uint32     // last value of the kernel's counter
	sum  uint64
}

// read updates and returns the sum. After the socket is closed the sum no longer changes.
func (k *kernelDrops) read(conn *net.UDPConn) uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	if n, err := socketDrops(conn); err == nil {
		k.sum += uint64(n - k.last) // correct when the counter wraps
		k.last = n
	}
	return k.sum
}
