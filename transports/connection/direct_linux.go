package connection

import (
	"io"
	"net"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// userTimeouts is after how many write timeouts the kernel gives up on a peer that acknowledges
// nothing. Who is stuck is for Write to tell: the kernel counts a window that a slow reader opens
// only now and then as nothing.
const tcpUserTimeoutFactor = 4

// direct writes to a TCP socket without the runtime's poller: a write that would have to wait
// returns instead. It calls the kernel by the socket's number, past the locks of the net package,
// each of which is another cache line that a delivery would have to wait for.
type direct struct {
	conn   *net.TCPConn
	raw    syscall.RawConn
	fd     int32
	queued int32 // bytes not acknowledged when progress was last looked for
}

func newDirect(c net.Conn, timeout time.Duration) (socket, bool) {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return nil, false
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil, false
	}
	// Without these the connection still works; it takes more of the kernel's memory, and a peer
	// that has vanished is found later.
	_ = tcp.SetWriteBuffer(sendBuffer)
	d := &direct{conn: tcp, raw: raw}
	closed := raw.Control(func(fd uintptr) {
		d.fd = int32(fd)
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(tcpUserTimeoutFactor*timeout.Milliseconds()))
	})
	return d, closed == nil
}

// TryWrite must not be called once Close has been, nor at the same time: the number may be another
// connection's by then. An outlet's mutex is over both.
func (d *direct) TryWrite(p []byte) (int, error) { return send(uintptr(d.fd), p) }

// trySafely is TryWrite where somebody else may close the connection.
func (d *direct) trySafely(p []byte) (int, error) {
	a := attempts.Get().(*attempt)
	defer a.done()
	a.p = p
	if closed := d.raw.Write(a.once); closed != nil {
		return 0, closed
	}
	return a.n, a.err
}

// attempt is a try to write in the hands of the net package. It is used again, since what is handed
// over cannot stay on the stack.
type attempt struct {
	p    []byte
	n    int
	err  error
	once func(fd uintptr) bool // writes p
}

var attempts = sync.Pool{New: func() any {
	a := new(attempt)
	a.once = func(fd uintptr) bool {
		a.n, a.err = send(fd, a.p)
		return true // done: it does not wait
	}
	return a
}}

func (a *attempt) done() {
	a.p, a.err = nil, nil
	attempts.Put(a)
}

func send(fd uintptr, p []byte) (int, error) {
	for {
		n, _, errno := syscall.RawSyscall6(unix.SYS_SENDTO, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))),
			uintptr(len(p)), syscall.MSG_DONTWAIT|syscall.MSG_NOSIGNAL, 0, 0)
		switch errno {
		case 0:
			return int(n), nil
		case syscall.EAGAIN:
			return 0, nil
		case syscall.EINTR:
		default:
			return 0, errno
		}
	}
}

func (d *direct) Write(p []byte, timeout time.Duration) error {
	d.progressed() // from here on
	return writeAll(d.conn, p, timeout, d.progressed)
}

// moved: the kernel takes no more while its buffer is two thirds full, and a slow peer may need
// long to get there.
func (d *direct) progressed() bool {
	before := d.queued
	d.queued = d.unacknowledged()
	return d.queued < before
}

func (d *direct) unacknowledged() (n int32) {
	_ = d.raw.Control(func(fd uintptr) {
		queued, _ := unix.IoctlGetInt(int(fd), unix.SIOCOUTQ)
		n = int32(queued)
	})
	return n
}

// TryRead implements TryReader.
func (d *direct) TryRead(p []byte) (n int, err error) {
	closed := d.raw.Control(func(fd uintptr) {
		for n, err = unix.Read(int(fd), p); err == unix.EINTR; {
			n, err = unix.Read(int(fd), p)
		}
	})
	switch {
	case closed != nil:
		return 0, closed
	case err == unix.EAGAIN:
		return 0, nil
	case err != nil:
		return 0, err
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// Gone looks for the peer's end of stream without taking anything from it.
func (d *direct) PeerClosed() bool {
	var gone bool
	err := d.raw.Control(func(fd uintptr) {
		var one [1]byte
		n, _, err := unix.Recvfrom(int(fd), one[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		gone = n == 0 && err == nil || err != nil && err != unix.EAGAIN && err != unix.EINTR
	})
	return gone || err != nil
}

func (d *direct) End() bool { return true }

func (d *direct) Close() { d.conn.Close() }
