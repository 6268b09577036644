package connection

import (
	"crypto/tls"
	"net"
	"time"
)

// progressWriter is the Conn of a Listener's connection that has no direct writes, with or without TLS.
// Its writes fail if the connection is closed or if the progressConn makes no progress.
type progressWriter struct {
	conn     net.Conn // a progressConn, or TLS above it
	progress *progressConn
}

// progressConnOf returns the progressConn of c, which may be below TLS, or nil if c is not from a
// Listener.
func progressConnOf(c net.Conn) *progressConn {
	if over, ok := c.(*tls.Conn); ok {
		c = over.NetConn()
	}
	g, _ := c.(*progressConn)
	return g
}

func (c *progressWriter) TryWrite([]byte) (int, error) { return 0, nil }

func (c *progressWriter) Buffered() bool { return false }

// Write ignores its timeout: the Listener's WriteTimeout applies.
func (c *progressWriter) Write(p []byte, _ time.Duration) error {
	_, err := c.conn.Write(p)
	return err
}

func (c *progressWriter) PeerClosed() bool { return false }

func (c *progressWriter) End() bool { return true }

// Close sends TLS's close_notify only if that does not block. If the peer does not read, tls.Conn
// itself would wait for seconds, with Writer.mu held.
func (c *progressWriter) Close() {
	c.progress.stopWaiting()
	c.conn.Close()
}

// CloseWrite closes the write side without blocking.
func (c *progressWriter) CloseWrite() error {
	c.progress.stopWaiting()
	return closeWrite(c.conn)
}

func (c *progressWriter) Read(p []byte) (int, error) { return c.conn.Read(p) }
