//go:build !linux

package connection

import (
	"crypto/tls"
	"net"
	"time"
)

// newDirect returns false, because only Linux has direct writes.
func newDirect(net.Conn, time.Duration) (socket, bool) { return nil, false }

// newTLSConn returns false for the same reason.
func newTLSConn(*tls.Conn) (Duplex, bool) { return nil, false }
