//go:build !linux

package connection

import (
	"net"
	"time"
)

// newDirect returns false, because only Linux has direct writes.
func newDirect(net.Conn, time.Duration) (socket, bool) { return nil, false }
