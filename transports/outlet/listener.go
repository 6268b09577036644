package outlet

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
	g := &guard{Conn: c, listener: l}
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
const looks = 4

// parting is how long the last words may wait where it cannot be known at once that they have to.
const parting = 10 * time.Millisecond

var longAgo = time.Unix(1, 0)

// guard is a connection of a Listener. A write deadline that is set on it says for how long from
// now a write may be without progress, where that is less than WriteTimeout; once it has passed,
// no write begins.
type guard struct {
	net.Conn // the socket
	listener *Listener
	direct   socket // nil: the portable path

	writing sync.Mutex // held by the write under way; over direct and failed
	failed  error      // of a write: what was cut within must not go on elsewhere

	mu       sync.Mutex    // over the rest
	deadline time.Time     // as it was set
	allowed  time.Duration // without progress, where there is a deadline
	waiting  bool          // a write has its eye on the peer
	hurried  bool          // no write waits any more
}

// Write implements net.Conn. After a write that was cut within, all fail. Where there was no
// progress the connection is closed: of what stands above, not all does so for a failed write.
func (g *guard) Write(p []byte) (int, error) {
	g.writing.Lock()
	defer g.writing.Unlock()
	if g.failed != nil {
		return 0, g.failed
	}
	n, err := g.write(p)
	if err != nil && (n > 0 || !errors.Is(err, os.ErrDeadlineExceeded)) {
		g.failed = err
	}
	if hurried, _ := g.state(); err == ErrNoProgress && !hurried {
		g.Conn.Close()
	}
	return n, err
}

func (g *guard) write(p []byte) (n int, err error) {
	hurried, late := g.state()
	if late {
		return 0, os.ErrDeadlineExceeded
	}
	if g.direct != nil {
		n, err = g.direct.trySafely(p)
		switch {
		case n == len(p) || err != nil:
			return n, err
		case hurried:
			return n, ErrNoProgress
		}
		g.direct.moved() // from here on
	}
	defer g.rest()
	if hurried {
		_ = g.Conn.SetWriteDeadline(time.Now().Add(parting)) // fails only as the write then does
		return g.Conn.Write(p)
	}
	for last := time.Now(); ; {
		if err := g.wait(last); err != nil {
			return n, err
		}
		k, err := g.Conn.Write(p[n:])
		n += k
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		// Asked even where something was written, so that the next answer counts from here.
		if on := g.direct != nil && g.direct.moved(); on || k > 0 {
			last = time.Now()
		}
	}
}

// wait has the write that follows look for progress in time. The error is that there was none for
// too long since last, or that the write must not wait.
func (g *guard) wait(last time.Time) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	timeout, failure := g.listener.WriteTimeout, ErrNoProgress
	if !g.deadline.IsZero() && g.allowed < timeout {
		timeout, failure = g.allowed, os.ErrDeadlineExceeded
	}
	left := timeout - time.Since(last)
	if left <= 0 || g.inHurry() {
		return failure
	}
	g.waiting = true
	return g.Conn.SetWriteDeadline(time.Now().Add(min(left, timeout/looks+1)))
}

// rest is called when no write waits.
func (g *guard) rest() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting = false
	_ = g.Conn.SetWriteDeadline(time.Time{}) // fails only as the next write does
}

// state says how a write begins: in a hurry, or too late.
func (g *guard) state() (hurried, late bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.inHurry(), !g.deadline.IsZero() && !time.Now().Before(g.deadline)
}

// inHurry is called under mu. The last words of TLS have a deadline.
func (g *guard) inHurry() bool {
	return g.hurried || !g.deadline.IsZero() && g.listener.closed.Load()
}

// hurry has no write wait any more, not even one that does by now.
func (g *guard) hurry() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.hurried = true
	g.wake()
}

// wake, under mu, has the write that waits ask again whether it may.
func (g *guard) wake() {
	if g.waiting {
		_ = g.Conn.SetWriteDeadline(longAgo) // fails only as the write then does
	}
}

// SetWriteDeadline implements net.Conn, as told at guard.
func (g *guard) SetWriteDeadline(t time.Time) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.deadline, g.allowed = t, time.Until(t)
	g.wake()
	return nil
}

// SetDeadline implements net.Conn.
func (g *guard) SetDeadline(t time.Time) error {
	_ = g.SetWriteDeadline(t) // never fails
	return g.Conn.SetReadDeadline(t)
}

// CloseWrite ends the stream to the peer; the other way stays open.
func (g *guard) CloseWrite() error {
	if half, ok := g.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
