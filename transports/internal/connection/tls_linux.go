package connection

import (
	"crypto/tls"
	"time"

	"golang.org/x/sys/unix"
)

// tlsConn is a TLS connection over a socket with direct writes. Its writes do not block, because the
// progressConn below TLS holds the bytes that the kernel does not accept. Its reads do not block
// either: a read of the progressConn that would block returns a temporary error, after which TLS can
// read again.
//
// The lock order is Writer.mu, nonblocking.reading, the locks of tls.Conn, progressConn.writing,
// progressConn.mu.
type tlsConn struct {
	progressWriter // its conn is a *tls.Conn; tlsConn overrides the methods that would block
}

// newTLSConn returns the Conn of a TLS connection. It returns false if the connection was not accepted
// by a Listener with direct writes.
func newTLSConn(c *tls.Conn) (Duplex, bool) {
	g := progressConnOf(c)
	if g == nil {
		return nil, false
	}
	if _, ok := g.direct.(*direct); !ok {
		return nil, false
	}
	g.nonblocking = new(nonblocking)
	return &tlsConn{progressWriter{c, g}}, true
}

// maxEncrypted is the maximum number of bytes that are encrypted at a time: no more bytes are encrypted
// until the kernel has accepted these. It is the maximum size of a TLS record.
const maxEncrypted = 16 << 10

// TryWrite implements Conn. While the connection holds bytes, TryWrite accepts no new bytes.
func (c *tlsConn) TryWrite(p []byte) (n int, err error) {
	if sent, err := c.progress.tryFlush(); !sent {
		return 0, err
	}
	for n < len(p) && !c.Buffered() {
		k, err := c.conn.Write(p[n:min(n+maxEncrypted, len(p))])
		n += k
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// Buffered implements Conn.
func (c *tlsConn) Buffered() bool { return c.progress.nonblocking.holds.Load() }

// Write implements Conn. It ignores its timeout: the Listener's WriteTimeout applies.
func (c *tlsConn) Write(p []byte, _ time.Duration) error {
	for {
		if err := c.progress.flush(); err != nil || len(p) == 0 {
			return err
		}
		n, err := c.conn.Write(p[:min(maxEncrypted, len(p))])
		if err != nil {
			return err
		}
		p = p[n:]
	}
}

// TryRead implements TryReader. If it returns len(p), TLS may have decrypted more bytes. The caller
// must therefore call TryRead until it returns less than len(p), before it waits for input. TryRead may
// also write, because TLS itself answers some messages.
func (c *tlsConn) TryRead(p []byte) (n int, err error) {
	c.progress.nonblocking.reading.Lock()
	defer c.progress.nonblocking.reading.Unlock()
	for n < len(p) {
		k, err := c.conn.Read(p[n:])
		n += k
		if err == errWouldBlock {
			ReleaseTLSBuffers(c.conn) // each read allocates a buffer of at least 576 bytes
			break
		}
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// PeerClosed implements Conn. It may return true while there are unread bytes before the end of the stream.
func (c *tlsConn) PeerClosed() bool { return c.progress.direct.(*direct).hungUp() }

func (c *tlsConn) socket() pollable { return c.progress.direct.(*direct) }

// beginTryReads implements earlyReader.
func (c *tlsConn) beginTryReads() { c.progress.nonblocking.reads = true }

// endTryReads implements earlyReader.
func (c *tlsConn) endTryReads() { c.progress.nonblocking.reads = false }

// hungUp reports whether the peer has closed the connection or its write side.
func (d *direct) hungUp() (hungUp bool) {
	closed := d.raw.Control(func(fd uintptr) {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		n, err := unix.Poll(fds, 0)
		hungUp = err == nil && n > 0
	})
	return hungUp || closed != nil
}
