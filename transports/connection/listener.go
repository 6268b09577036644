package connection

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Listener accepts connections on which a write fails when the peer makes no progress for
// WriteTimeout, and not while it does, however slow it is. It belongs below TLS, for which every
// error of a write is final, and below HTTP/2, which knows progress only of whole frames. NewConn
// finds what it needs of such a connection, whatever stands above.
type Listener struct {
	net.Listener
	WriteTimeout time.Duration // without progress
	// Portable keeps to the write path that every platform has.
	Portable bool

	closed atomic.Bool
}

// Accept implements net.Listener.
func (l *Listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	g := &progressConn{Conn: c, listener: l}
	if !l.Portable {
		g.direct, _ = newDirect(c, l.WriteTimeout)
	}
	if tcp, ok := c.(*net.TCPConn); ok && g.direct == nil {
		_ = tcp.SetWriteBuffer(sendBuffer) // without it the connection still works
	}
	return g, nil
}

// Close implements net.Listener. A server closes its listeners first of all and then, one by one,
// its idle connections; their last words do not wait any more.
func (l *Listener) Close() error {
	l.closed.Store(true)
	return l.Listener.Close()
}

// looks is how often within the time without progress it is looked for. It is also how often the
// kernel is offered the rest again, which takes some as soon as it has room but wakes a writer
// only when a third of its buffer is free.
const progressChecks = 4

// parting is how long the last words may wait where it cannot be known at once that they have to.
const farewellTimeout = 10 * time.Millisecond

var pastDeadline = time.Unix(1, 0)

// guard is a connection of a Listener. A write deadline that is set on it says for how long from
// now a write may be without progress, where that is less than WriteTimeout; once it has passed,
// no write begins.
type progressConn struct {
	net.Conn // the socket
	listener *Listener
	direct   socket // nil: the portable path

	writing sync.Mutex // held by the write under way; over direct and failed
	failed  error      // of a write: what was cut within must not go on elsewhere

	mu       sync.Mutex    // over the rest
	deadline time.Time     // as it was set
	allowed  time.Duration // without progress, where there is a deadline
	waiting  bool          // a write has its eye on the peer
	noWait   bool          // no write waits any more
}

// Write implements net.Conn. After a write that was cut within, all fail. Where there was no
// progress the connection is closed: of what stands above, not all does so for a failed write.
func (c *progressConn) Write(p []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	if c.failed != nil {
		return 0, c.failed
	}
	n, err := c.write(p)
	if err != nil && (n > 0 || !errors.Is(err, os.ErrDeadlineExceeded)) {
		c.failed = err
	}
	if hurried, _ := c.writeState(); err == ErrNoProgress && !hurried {
		c.Conn.Close()
	}
	return n, err
}

func (c *progressConn) write(p []byte) (n int, err error) {
	hurried, late := c.writeState()
	if late {
		return 0, os.ErrDeadlineExceeded
	}
	if c.direct != nil {
		n, err = c.direct.trySafely(p)
		switch {
		case n == len(p) || err != nil:
			return n, err
		case hurried:
			return n, ErrNoProgress
		}
		c.direct.progressed() // from here on
	}
	defer c.finishWait()
	if hurried {
		_ = c.Conn.SetWriteDeadline(time.Now().Add(farewellTimeout)) // fails only as the write then does
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
		// Asked even where something was written, so that the next answer counts from here.
		if on := c.direct != nil && c.direct.progressed(); on || k > 0 {
			last = time.Now()
		}
	}
}

// wait has the write that follows look for progress in time. The error is that there was none for
// too long since last, or that the write must not wait.
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
	c.waiting = true
	return c.Conn.SetWriteDeadline(time.Now().Add(min(left, timeout/progressChecks+1)))
}

// rest is called when no write waits.
func (c *progressConn) finishWait() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = false
	_ = c.Conn.SetWriteDeadline(time.Time{}) // fails only as the next write does
}

// state says how a write begins: in a hurry, or too late.
func (c *progressConn) writeState() (hurried, late bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mustNotWait(), !c.deadline.IsZero() && !time.Now().Before(c.deadline)
}

// inHurry is called under mu. The last words of TLS have a deadline.
func (c *progressConn) mustNotWait() bool {
	return c.noWait || !c.deadline.IsZero() && c.listener.closed.Load()
}

// hurry has no write wait any more, not even one that does by now.
func (c *progressConn) stopWaiting() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.noWait = true
	c.interruptWrite()
}

// wake, under mu, has the write that waits ask again whether it may.
func (c *progressConn) interruptWrite() {
	if c.waiting {
		_ = c.Conn.SetWriteDeadline(pastDeadline) // fails only as the write then does
	}
}

// SetWriteDeadline implements net.Conn, as told at guard.
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

// CloseWrite ends the stream to the peer; the other way stays open.
func (c *progressConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
