package connection

import (
	"crypto/tls"
	"net"
	"time"
)

// guarded is the Conn of a connection that a Listener has accepted and that cannot be written to
// directly, such as one of TLS. It writes in records, each of which the guard ends for want of
// progress alone.
type progressWriter struct {
	conn     net.Conn // guard itself, or TLS above it
	progress *progressConn
}

// guardOf finds what a Listener made of the connection; nil: it was none's.
func progressConnOf(c net.Conn) *progressConn {
	if over, ok := c.(*tls.Conn); ok {
		c = over.NetConn()
	}
	g, _ := c.(*progressConn)
	return g
}

func (c *progressWriter) TryWrite([]byte) (int, error) { return 0, nil }

// Write goes by the Listener's timeout.
func (c *progressWriter) Write(p []byte, _ time.Duration) error {
	_, err := c.conn.Write(p)
	return err
}

func (c *progressWriter) PeerClosed() bool { return false }

func (c *progressWriter) End() bool { return true }

// Close sends TLS's end of data where it goes at once: TLS itself would wait seconds for a peer
// that takes nothing, and here an outlet's mutex is held.
func (c *progressWriter) Close() {
	c.progress.stopWaiting()
	c.conn.Close()
}

// CloseWrite tells the peer that no data follows, where the connection can say so, and never
// waits. Nothing may be written after it.
func CloseWrite(c net.Conn) error {
	if g := progressConnOf(c); g != nil {
		g.stopWaiting()
	}
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
