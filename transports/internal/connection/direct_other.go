//go:build !linux

package connection

import (
	"crypto/tls"
	"net"
	"time"
)

// newDirect returns false, because direct writes are implemented only for Linux.
func newDirect(net.Conn, time.Duration) (socket, bool) { return nil, false }

// newTLSConn returns false, because it would need direct writes.
func newTLSConn(*tls.Conn) (Duplex, bool) { return nil, false }
