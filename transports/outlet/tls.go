package outlet

import (
	"crypto/tls"
	"net"
	"time"
)

// guarded is the Conn of a connection that a Listener has accepted and that cannot be written to
// directly, such as one of TLS. It writes in records, each of which the guard ends for want of
// progress alone.
type guarded struct {
	conn  net.Conn // guard itself, or TLS above it
	guard *guard
}

// guardOf finds what a Listener made of the connection; nil: it was none's.
func guardOf(c net.Conn) *guard {
	if over, ok := c.(*tls.Conn); ok {
		c = over.NetConn()
	}
	g, _ := c.(*guard)
	return g
}

func (c *guarded) TryWrite([]byte) (int, error) { return 0, nil }

// Write goes by the Listener's timeout.
func (c *guarded) Write(p []byte, _ time.Duration) error {
	_, err := c.conn.Write(p)
	return err
}

func (c *guarded) Gone() bool { return false }

func (c *guarded) End() bool { return true }

// Close sends TLS's end of data where it goes at once: TLS itself would wait seconds for a peer
// that takes nothing, and here an outlet's mutex is held.
func (c *guarded) Close() {
	c.guard.hurry()
	c.conn.Close()
}

// CloseWrite tells the peer that no data follows, where the connection can say so, and never
// waits. Nothing may be written after it.
func CloseWrite(c net.Conn) error {
	if g := guardOf(c); g != nil {
		g.hurry()
	}
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
