package connection

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Listener accepts connections on which a write fails if the peer makes no progress for
// WriteTimeout. A peer that reads slowly makes progress. Listener must be below TLS, because a TLS
// connection is unusable after a failed write, and below HTTP/2, which detects only the progress of
// whole frames. NewConn finds the Listener's connection below TLS.
type Listener struct {
	net.Listener
	WriteTimeout time.Duration // time without progress after which a write fails
	// Portable disables direct writes.
	Portable bool
	// Registry can park the connections, see Parked; nil: connections are not parked.
	Registry *Registry

	counted atomic.Bool // whether the Listener is counted in Registry.listening
	closed  atomic.Bool
}

// Accept implements net.Listener.
func (l *Listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	g := &progressConn{Conn: c, listener: l}
	if !l.Portable {
		if !l.counted.Swap(true) {
			l.Registry.addListeners(l.Addr(), 1)
		}
		g.direct, _ = newDirect(c, l.WriteTimeout)
	}
	if tcp, ok := c.(*net.TCPConn); ok && g.direct == nil {
		_ = tcp.SetWriteBuffer(sendBuffer) // if this fails, the connection still works
	}
	return g, nil
}

// Close implements net.Listener. After Close, a write with a deadline is assumed to be the closing alert
// of TLS, and does not wait for the peer. A server closes its listeners, and then its idle connections
// one after the other. If each alert waited for its peer, this would take a long time.
func (l *Listener) Close() error {
	l.closed.Store(true)
	if l.counted.Swap(false) {
		l.Registry.addListeners(l.Addr(), -1)
	}
	return l.Listener.Close()
}

// progressChecks is the number of times that a blocked write is checked for progress within its
// timeout. Each check also tries to write the remaining bytes: the kernel accepts data as soon as its
// buffer has space, but wakes a blocked writer only when a third of the buffer is free.
const progressChecks = 4

// lastWriteTimeout is the timeout of a write that must not wait for the peer. It applies only to
// connections without direct writes.
const lastWriteTimeout = 10 * time.Millisecond

var pastDeadline = time.Unix(1, 0)

// progressConn is a connection of a Listener. A write deadline limits the time without progress, not the
// total time of a write. The limit is the time from the call of SetWriteDeadline to the deadline, or
// WriteTimeout if that is shorter. No write starts after the deadline.
type progressConn struct {
	net.Conn // the socket
	listener *Listener
	direct   socket // nil: no direct writes; changed by takeOver, with writing and mu held

	// returned is set when the connection is returned to net/http. It points to input that the previous
	// owner of the connection has read, and that net/http has not read yet. Only Read changes this input.
	returned *[]byte

	nonblocking *nonblocking // nil: reads and writes block; static after NewConn, which sets it for TLS over direct writes

	writing sync.Mutex // held by the current write; guards failed and nonblocking.unsent
	failed  error      // error of an earlier write that sent only a part; later writes return it

	mu       sync.Mutex    // guards the fields below
	deadline time.Time     // the deadline that was passed to SetWriteDeadline
	allowed  time.Duration // longest time without progress; valid if deadline is set
	wait     waitState
}

// waitState states whether writes of a progressConn block.
//
//	state        a write                    next state and cause
//	mayWait      blocks if necessary        waiting: the kernel accepts no more bytes; mustNotWait: stopWaiting
//	waiting      is blocked in the kernel   mayWait: the write has returned; mustNotWait: stopWaiting
//	mustNotWait  does not block
type waitState uint8

const (
	mayWait waitState = iota
	waiting
	mustNotWait
)

// Read implements net.Conn.
func (c *progressConn) Read(p []byte) (int, error) {
	if c.returned != nil && len(*c.returned) > 0 {
		n := copy(p, *c.returned)
		if *c.returned = (*c.returned)[n:]; len(*c.returned) == 0 {
			*c.returned = nil
		}
		return n, nil
	}
	if c.nonblocking != nil && c.nonblocking.reads {
		return c.tryRead(p)
	}
	return c.Conn.Read(p)
}

// Write implements net.Conn. If only a part of a write was sent, all later writes fail. If a write
// makes no progress, Write closes the connection, because not all callers do so after an error.
func (c *progressConn) Write(p []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	if c.failed != nil {
		return 0, c.failed
	}
	if c.nonblocking != nil {
		return c.writeOrHold(p)
	}
	n, err := c.writeAndClose(p)
	if err != nil && (n > 0 || !errors.Is(err, os.ErrDeadlineExceeded)) {
		c.failed = err
	}
	return n, err
}

// writeAndClose writes p. If the write makes no progress, writeAndClose closes the connection.
func (c *progressConn) writeAndClose(p []byte) (int, error) {
	n, err := c.write(p)
	if noWait, _ := c.writeState(); err == ErrNoProgress && !noWait {
		c.Conn.Close()
	}
	return n, err
}

func (c *progressConn) write(p []byte) (n int, err error) {
	noWait, late := c.writeState()
	if late {
		return 0, os.ErrDeadlineExceeded
	}
	if c.direct != nil {
		n, err = c.direct.trySafely(p)
		switch {
		case n == len(p) || err != nil:
			return n, err
		case noWait:
			return n, ErrNoProgress
		}
		c.direct.progressed() // resets the measurement of progress
	}
	defer c.finishWait()
	if noWait {
		_ = c.Conn.SetWriteDeadline(time.Now().Add(lastWriteTimeout)) // if this fails, so does the write
		return c.Conn.Write(p)
	}
	for last := time.Now(); ; {
		if err := c.armDeadline(last); err != nil {
			return n, err
		}
		k, err := c.Conn.Write(p[n:])
		n += k
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		// progressed is called even if bytes were written, so that its next result covers only the time
		// after this deadline.
		if on := c.direct != nil && c.direct.progressed(); on || k > 0 {
			last = time.Now()
		}
	}
}

// armDeadline sets the socket's deadline to the time of the next check for progress. last is the time
// of the last progress. armDeadline returns an error if last is too long ago, or if the write must not
// block.
func (c *progressConn) armDeadline(last time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	timeout, failure := c.listener.WriteTimeout, ErrNoProgress
	if !c.deadline.IsZero() && c.allowed < timeout {
		timeout, failure = c.allowed, os.ErrDeadlineExceeded
	}
	left := timeout - time.Since(last)
	if left <= 0 || c.mustNotWait() {
		return failure
	}
	c.wait = waiting
	return c.Conn.SetWriteDeadline(time.Now().Add(min(left, timeout/progressChecks+1)))
}

// finishWait resets the state and the socket's deadline after a write that may have blocked.
func (c *progressConn) finishWait() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.wait == waiting {
		c.wait = mayWait
	}
	_ = c.Conn.SetWriteDeadline(time.Time{}) // if this fails, so does the next write
}

// writeState reports whether a write must not block, and whether its deadline has passed.
func (c *progressConn) writeState() (noWait, late bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mustNotWait(), !c.deadline.IsZero() && !time.Now().Before(c.deadline)
}

// mustNotWait reports whether writes must not block. After the listener was closed, a write with a
// deadline is assumed to be the closing alert of TLS. mu must be held.
func (c *progressConn) mustNotWait() bool {
	return c.wait == mustNotWait || !c.deadline.IsZero() && c.listener.closed.Load()
}

// stopWaiting makes all writes return instead of blocking, including a write that is blocked now.
func (c *progressConn) stopWaiting() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.interruptWrite()
	c.wait = mustNotWait
}

// interruptWrite wakes a blocked write, which then checks whether it may still block. mu must be held.
func (c *progressConn) interruptWrite() {
	if c.wait == waiting {
		_ = c.Conn.SetWriteDeadline(pastDeadline) // if this fails, so does the write
	}
}

// SetWriteDeadline implements net.Conn. See progressConn for the meaning of the deadline.
func (c *progressConn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline, c.allowed = t, time.Until(t)
	c.interruptWrite()
	return nil
}

// SetDeadline implements net.Conn.
func (c *progressConn) SetDeadline(t time.Time) error {
	_ = c.SetWriteDeadline(t) // never fails
	return c.Conn.SetReadDeadline(t)
}

// takeOver takes the socket over from package net, if that is possible, and returns it for the new
// owner of the connection. An embedding program may still have a reference to c, so the methods of c
// that close the connection continue to work.
func (c *progressConn) takeOver() Duplex {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if taken := c.direct.takeOver(); taken != nil {
		c.direct = taken
	}
	return c.direct
}

// directSocket returns c.direct. It is for goroutines that do not own the connection.
func (c *progressConn) directSocket() socket {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.direct
}

// Close closes the connection. If it was taken over, Close shuts it down, and its new owner then closes it.
func (c *progressConn) Close() error {
	if direct := c.directSocket(); direct != nil {
		return direct.abort()
	}
	return c.Conn.Close()
}

// CloseRead closes the read side of the connection; the write side stays open.
func (c *progressConn) CloseRead() error {
	if direct := c.directSocket(); direct != nil {
		return direct.CloseRead()
	}
	if half, ok := c.Conn.(interface{ CloseRead() error }); ok {
		return half.CloseRead()
	}
	return errors.ErrUnsupported
}

// CloseWrite closes the write side of the connection; the read side stays open.
func (c *progressConn) CloseWrite() error {
	if direct := c.directSocket(); direct != nil {
		return direct.CloseWrite()
	}
	return closeWrite(c.Conn)
}
