//go:build !linux

package connection

import (
	"net"
	"time"
)

// newDirect: only Linux has the direct path.
func newDirect(net.Conn, time.Duration) (socket, bool) { return nil, false }
