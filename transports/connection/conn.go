package connection

import (
	"errors"
	"net"
	"os"
	"time"
)

// Conn is the write side of one connection. But for Close, its methods are called by one goroutine
// at a time; TryWrite not after Close, nor while it is called.
type Conn interface {
	// TryWrite writes what goes at once and says how much; it never waits. Less than all of p
	// with a nil error means that the rest would have to wait.
	TryWrite(p []byte) (int, error)
	// Write writes all of p. It fails when for timeout nothing of it could be written.
	Write(p []byte, timeout time.Duration) error
	// Gone reports, where that can be known without reading, that the peer has closed.
	PeerClosed() bool
	// End is called when all that will ever be written has been, and says whether to close the
	// connection now; otherwise whoever reads from it will.
	End() bool
	// Close cuts the connection. It may be called at any time and more than once.
	Close()
}

// ErrNoProgress ends a connection on which nothing could be written for the write timeout.
var ErrNoProgress = errors.New("no progress in writing")

// sendBuffer bounds what the kernel takes for a peer that does not read; by default it would
// take megabytes.
const sendBuffer = 64 << 10

// socket is what the direct path of a platform knows of a connection.
type socket interface {
	Conn
	// trySafely is TryWrite that may be called at the same time as Close.
	trySafely(p []byte) (int, error)
	// moved reports that the peer has acknowledged something since it was last asked.
	progressed() bool
}

// NewConn makes the Conn of a hijacked connection: one that writes directly where the platform
// and the connection allow it (TCP on Linux), else the portable one. A peer that acknowledges
// nothing for timeout is given up.
func NewConn(c net.Conn, timeout time.Duration) Conn {
	if g, ok := c.(*progressConn); ok && g.direct != nil {
		return g.direct
	}
	if direct, ok := newDirect(c, timeout); ok {
		return direct
	}
	return NewPortableConn(c)
}

// NewPortableConn makes a Conn that never writes directly. It tells slow from stuck on connections
// of a Listener; on others only as far as the kernel takes something, and below TLS not at all.
func NewPortableConn(c net.Conn) Conn {
	if g := progressConnOf(c); g != nil {
		return &progressWriter{c, g}
	}
	return &netConn{c}
}

// netConn is the Conn of what neither a Listener accepted nor a platform knows: it never writes
// without waiting, so that a goroutine on demand does all of it.
type netConn struct {
	net.Conn
}

func (c *netConn) TryWrite([]byte) (int, error) { return 0, nil }

func (c *netConn) Write(p []byte, timeout time.Duration) error {
	return writeAll(c.Conn, p, timeout, nil)
}

func (c *netConn) PeerClosed() bool { return false }

func (c *netConn) End() bool { return true }

func (c *netConn) Close() { c.Conn.Close() }

// writeAll writes p with a deadline that moves with every byte. moved reports progress that the
// count of written bytes does not show; nil: there is none.
func writeAll(c net.Conn, p []byte, timeout time.Duration, moved func() bool) error {
	for len(p) > 0 {
		if err := c.SetWriteDeadline(time.Now().Add(timeout)); err != nil {
			return err
		}
		n, err := c.Write(p)
		p = p[n:]
		if err == nil {
			continue
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		// Asked even where something was written, so that the next answer counts from here.
		if on := moved != nil && moved(); !on && n == 0 {
			return ErrNoProgress
		}
	}
	// A deadline that has passed would fail the next direct write.
	return c.SetWriteDeadline(time.Time{})
}
