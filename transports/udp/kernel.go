package udp

import (
	"net"
	"sync"
)

// kernelDrops adds up what the kernel dropped at one socket. The kernel counts in 32 bits and
// forgets with the socket; the sum does neither.
type kernelDrops struct {
	mu   sync.Mutex // guards what follows
	last uint32     // as the kernel counted
	sum  uint64
}

// read asks the socket. Once it is closed, the sum stands.
func (k *kernelDrops) read(conn *net.UDPConn) uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	if n, err := socketDrops(conn); err == nil {
		k.sum += uint64(n - k.last) // right across a wrap to zero
		k.last = n
	}
	return k.sum
}
