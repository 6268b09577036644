package connection

import (
	"net"
	"sync"
	"sync/atomic"
)

// maxUnsent is the maximum number of bytes that are held for one connection. A tlsConn writes no events
// while bytes are held. Therefore a connection reaches the maximum only if TLS itself sends many
// messages, for example answers to key updates, to a peer that does not read.
const maxUnsent = 64 << 10

// nonblocking is the state of a progressConn whose reads and writes must not block, because a tlsConn
// uses it. crypto/tls can continue after a read that failed with a temporary error, but not after a
// failed write. Therefore a write accepts all bytes, and holds those that the kernel does not accept.
type nonblocking struct {
	// reading is held by TryRead. The poller starts the reading goroutines of a connection one after the
	// other. They need this lock, because they share no other lock that makes the changes of one
	// goroutine visible to the next.
	reading sync.Mutex

	reads  bool        // whether a read that would block returns errWouldBlock; owned by the goroutine that reads
	unsent []byte      // held bytes, to send before all others; guarded by progressConn.writing
	holds  atomic.Bool // whether unsent is not empty or a write has failed
}

// hold replaces the unsent bytes. progressConn.writing must be held.
func (n *nonblocking) hold(unsent []byte) {
	if len(unsent) == 0 {
		unsent = nil // frees the memory
	}
	n.unsent = unsent
	n.holds.Store(unsent != nil)
}

// errWouldBlock is the error of a read that would block. It is a temporary net.Error, so that crypto/tls
// can read again later.
var errWouldBlock net.Error = wouldBlock{}

type wouldBlock struct{}

func (wouldBlock) Error() string   { return "the read would block" }
func (wouldBlock) Timeout() bool   { return true }
func (wouldBlock) Temporary() bool { return true }

// tryRead reads the input that has arrived. If there is none, it returns errWouldBlock.
func (c *progressConn) tryRead(p []byte) (int, error) {
	n, err := c.direct.(TryReader).TryRead(p)
	if n == 0 && err == nil && len(p) > 0 {
		return 0, errWouldBlock
	}
	return n, err
}

// writeOrHold writes p without blocking, and holds the bytes that the kernel does not accept. After
// stopWaiting it instead drops these bytes and makes all later writes fail. writing must be held.
func (c *progressConn) writeOrHold(p []byte) (n int, err error) {
	noWait, _ := c.writeState()
	if noWait && c.nonblocking.holds.Load() {
		err = c.sendUnsent()
	}
	if err == nil && !c.nonblocking.holds.Load() {
		n, err = c.direct.trySafely(p)
	}
	if err == nil && n < len(p) && (noWait || len(c.nonblocking.unsent)+len(p)-n > maxUnsent) {
		err = ErrNoProgress
	}
	if err != nil {
		return n, c.fail(err)
	}
	if n < len(p) {
		c.nonblocking.hold(append(c.nonblocking.unsent, p[n:]...))
	}
	return len(p), nil
}

// fail drops the held bytes and makes all later writes fail. It sets holds, so that the Writer tries to
// send held bytes and gets the error. Otherwise the Writer would not detect the failure of a write
// that TLS made by itself, for example to answer a key update. writing must be held.
func (c *progressConn) fail(err error) error {
	c.failed = err
	c.nonblocking.unsent = nil
	c.nonblocking.holds.Store(true)
	return err
}

// sendUnsent sends as many of the held bytes as the kernel accepts without blocking. writing must be
// held.
func (c *progressConn) sendUnsent() error {
	n, err := c.direct.trySafely(c.nonblocking.unsent)
	if err != nil {
		return c.fail(err)
	}
	c.nonblocking.hold(c.nonblocking.unsent[n:])
	return nil
}

// tryFlush sends as many of the held bytes as the kernel accepts without blocking. It reports whether all
// were sent.
func (c *progressConn) tryFlush() (bool, error) {
	if !c.nonblocking.holds.Load() {
		return true, nil
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	if c.failed != nil {
		return false, c.failed
	}
	err := c.sendUnsent()
	return err == nil && !c.nonblocking.holds.Load(), err
}

// flush sends all held bytes, and blocks if necessary. While it blocks, it holds writing, so TLS cannot
// write.
func (c *progressConn) flush() error {
	if !c.nonblocking.holds.Load() {
		return nil
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	if c.failed != nil || !c.nonblocking.holds.Load() {
		return c.failed
	}
	if _, err := c.writeAndClose(c.nonblocking.unsent); err != nil {
		return c.fail(err)
	}
	c.nonblocking.hold(nil)
	return nil
}
