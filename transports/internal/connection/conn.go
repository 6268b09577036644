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
	// TryWrite writes as much of p as the connection accepts without blocking, and returns the number
	// of bytes written. If it is less than len(p) and the error is nil, writing the rest would block.
	TryWrite(p []byte) (int, error)
	// Buffered reports whether the connection has accepted bytes that it has not sent yet. Write sends
	// them, even if p is empty.
	Buffered() bool
	// Write writes all of p. It fails if no byte could be written for the duration of timeout. After a
	// successful Write, Buffered returns false.
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

// ErrNoProgress is the error of a write that made no progress within the write timeout.
var ErrNoProgress = errors.New("no progress in writing")

// sendBuffer is the size of the kernel's send buffer for a connection, in bytes. By default, the
// buffer of a connection whose peer does not read would grow to megabytes.
const sendBuffer = 64 << 10

// socket is a Conn with direct writes: writes that bypass the runtime's poller and never block. It exists
// only on Linux.
type socket interface {
	Duplex
	// trySafely is like TryWrite, but may be called during Close.
	trySafely(p []byte) (int, error)
	// progressed reports whether the peer has acknowledged data since the previous call.
	progressed() bool
	// takeOver moves the file descriptor from package net to a new socket, which it returns. If that is
	// not possible or was done before, takeOver returns nil and changes nothing.
	takeOver() socket
	// CloseRead closes the read side.
	CloseRead() error
	// abort ends the connection in both directions. It may be called at any time. If the socket was taken
	// over, abort leaves its descriptor open.
	abort() error
}

// TryWriter is implemented by a net.Conn that is not a socket but supports non-blocking writes, for
// example an in-memory connection. See Conn.TryWrite.
type TryWriter interface {
	TryWrite(p []byte) (int, error)
}

// NewConn returns the Conn of a hijacked connection, from which no other goroutine reads. If the platform
// and the connection support direct writes (TCP on Linux, with or without TLS, or a TryWriter), the Conn
// uses them. Otherwise it is a portable Conn, see NewPortableConn. The parameter timeout is the write
// timeout. The kernel closes a TCP connection with direct writes if the peer acknowledges nothing for
// four write timeouts. If c is a TCP connection from a Listener, NewConn takes its socket over from
// package net, which saves memory; c must then not be used any more.
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
// Listener, it distinguishes a slow peer from a peer that makes no progress. On other connections
// without TLS, it detects progress only when space in the kernel's buffer becomes free. On other
// connections with TLS, it cannot detect progress within a write.
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

// writeAll writes p. If there was progress before a deadline expires, writeAll sets a new deadline and
// continues. Otherwise it returns ErrNoProgress. Written bytes are progress. The function progressed,
// which may be nil, reports other progress, such as acknowledged bytes.
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
		// progressed is called even if bytes were written, so that its next result covers only the time
		// after this deadline.
		if on := progressed != nil && progressed(); !on && n == 0 {
			return ErrNoProgress
		}
	}
	// If the deadline stayed set and expired, the next direct write would fail.
	return c.SetWriteDeadline(time.Time{})
}
