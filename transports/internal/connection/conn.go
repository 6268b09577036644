package connection

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"time"
)

// Conn is the write side of one connection. Only one goroutine at a time may call its methods,
// except Close. TryWrite must not be called during or after Close.
type Conn interface {
	// TryWrite writes the bytes that the connection accepts without blocking, and returns their
	// number. If the number is less than len(p) and the error is nil, writing the rest would block.
	TryWrite(p []byte) (int, error)
	// Buffered reports whether the connection holds bytes that it has accepted and not sent. A call of
	// Write sends them, even if it has nothing else to write.
	Buffered() bool
	// Write writes all of p. It fails if no byte could be written for timeout. Afterwards, nothing of p is
	// buffered.
	Write(p []byte, timeout time.Duration) error
	// PeerClosed reports whether the peer has closed the connection, if that can be detected
	// without reading.
	PeerClosed() bool
	// End is called after the last write. It reports whether the caller must close the connection
	// now. If it returns false, the goroutine that reads from the connection closes it later.
	End() bool
	// Close closes the connection. It may be called at any time and more than once.
	Close()
}

// Duplex is a Conn from which its owner can also read.
type Duplex interface {
	Conn
	// Read blocks until there is input or the connection is closed. Only one goroutine at a time may
	// call it.
	Read(p []byte) (int, error)
	// CloseWrite closes the write side without blocking. Nothing may be written afterwards.
	CloseWrite() error
}

// ErrNoProgress is the error of a write if the connection accepted no byte for the write timeout.
var ErrNoProgress = errors.New("no progress in writing")

// sendBuffer is the size of the kernel's send buffer for a connection, in bytes. By default, the
// buffer of a connection whose peer does not read would grow to megabytes.
const sendBuffer = 64 << 10

// socket is a Conn with direct writes, as the platform provides it.
type socket interface {
	Duplex
	// trySafely is like TryWrite, but may be called during Close.
	trySafely(p []byte) (int, error)
	// progressed reports whether the peer has acknowledged data since the previous call.
	progressed() bool
	// takeOver takes the socket over from package net and returns it. It returns nil and changes nothing
	// if that is not possible, or was done before.
	takeOver() socket
	// CloseRead closes the read side.
	CloseRead() error
	// abort ends the connection in both directions. If the socket was taken over, abort leaves the
	// descriptor open, so that it may be called at any time.
	abort() error
}

// TryWriter is implemented by a net.Conn that is not a socket but supports writes without blocking, for example one in
// memory. See Conn.TryWrite.
type TryWriter interface {
	TryWrite(p []byte) (int, error)
}

// NewConn returns the Conn of a hijacked connection, from which no other goroutine reads. If the
// platform and the connection support direct writes (TCP on Linux, with or without TLS, or a
// TryWriter), the Conn uses them. Otherwise it is a portable Conn, see NewPortableConn. The kernel
// closes a TCP connection if the peer acknowledges nothing for several times timeout. A TCP connection
// from a Listener is taken over from package net, which saves memory, and c must not be used any more.
func NewConn(c net.Conn, timeout time.Duration) Duplex {
	ReleaseTLSBuffers(c)
	switch c := c.(type) {
	case *progressConn:
		if c.direct != nil {
			return c.takeOver()
		}
	case *tls.Conn:
		if conn, ok := newTLSConn(c); ok {
			return conn
		}
	}
	if t, ok := c.(TryWriter); ok {
		return &tryConn{netConn{c}, t}
	}
	if direct, ok := newDirect(c, timeout); ok {
		return direct
	}
	return NewPortableConn(c)
}

// NewPortableConn is like NewConn, but the Conn has no direct writes. On a connection from a
// Listener, it distinguishes a slow peer from a peer that makes no progress. On other connections,
// it recognizes only progress that frees space in the kernel's buffer, and with TLS none.
func NewPortableConn(c net.Conn) Duplex {
	ReleaseTLSBuffers(c)
	if g := progressConnOf(c); g != nil {
		g.nonblocking = nil // NewConn may have been called before
		return &progressWriter{c, g}
	}
	return &netConn{c}
}

// netConn is the Conn of a connection without direct writes that was not accepted by a Listener.
type netConn struct {
	net.Conn
}

func (c *netConn) TryWrite([]byte) (int, error) { return 0, nil }

func (c *netConn) Buffered() bool { return false }

func (c *netConn) Write(p []byte, timeout time.Duration) error {
	return writeAll(c.Conn, p, timeout, nil)
}

func (c *netConn) PeerClosed() bool { return false }

func (c *netConn) End() bool { return true }

func (c *netConn) Close() { c.Conn.Close() }

func (c *netConn) CloseWrite() error { return closeWrite(c.Conn) }

func closeWrite(c net.Conn) error {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// tryConn is the Conn of a TryWriter.
type tryConn struct {
	netConn
	direct TryWriter
}

func (c *tryConn) TryWrite(p []byte) (int, error) { return c.direct.TryWrite(p) }

// deadlineWriter is a net.Conn or an *os.File.
type deadlineWriter interface {
	io.Writer
	SetWriteDeadline(time.Time) error
}

// writeAll writes p. Each write that makes progress extends the deadline. progressed, which may be
// nil, reports progress that is not visible in the number of written bytes.
func writeAll(c deadlineWriter, p []byte, timeout time.Duration, progressed func() bool) error {
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
		// progressed is called even if bytes were written, so that its next result covers only the
		// time after this call.
		if on := progressed != nil && progressed(); !on && n == 0 {
			return ErrNoProgress
		}
	}
	// With an expired deadline, the next direct write would fail.
	return c.SetWriteDeadline(time.Time{})
}
