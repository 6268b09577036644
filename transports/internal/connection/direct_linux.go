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

// tcpUserTimeoutFactor is the number of write timeouts after which the kernel closes the connection
// if the peer acknowledges nothing (TCP_USER_TIMEOUT). It must be above 1: the kernel also counts
// the time during which a slow reader keeps its receive window closed, and only Write can distinguish
// a slow reader from a stalled peer.
const tcpUserTimeoutFactor = 4

// direct is a socket of package net to which TryWrite writes without the runtime's poller: a write that
// would block returns instead. TryWrite makes system calls with the file descriptor and avoids the locks
// of package net, because every delivery would have to load the cache line of each lock.
type direct struct {
	conn   *net.TCPConn
	raw    syscall.RawConn
	fd     int32
	queued int32 // number of unacknowledged bytes at the previous call of progressed
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
	// If these settings fail, the connection still works, but uses more kernel memory, and an
	// unreachable peer is detected later.
	_ = tcp.SetWriteBuffer(sendBuffer)
	d := &direct{conn: tcp, raw: raw}
	closed := raw.Control(func(fd uintptr) {
		d.fd = int32(fd)
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(tcpUserTimeoutFactor*timeout.Milliseconds()))
	})
	return d, closed == nil
}

// TryWrite must not be called during or after Close, because the descriptor may then belong to
// another connection. The Writer therefore calls both with Writer.mu held.
func (d *direct) TryWrite(p []byte) (int, error) { return send(uintptr(d.fd), p) }

func (d *direct) Buffered() bool { return false }

// trySafely is like TryWrite, but Close may run at the same time.
func (d *direct) trySafely(p []byte) (int, error) {
	a := attempts.Get().(*attempt)
	defer a.done()
	a.p = p
	if closed := d.raw.Write(a.once); closed != nil {
		return 0, closed
	}
	return a.n, a.err
}

// attempt holds the arguments and results of a system call that a method of syscall.RawConn makes. It is
// pooled, because functions that are passed to these methods escape to the heap: without the pool, each
// call would allocate.
type attempt struct {
	p    []byte
	n    int
	err  error
	once func(fd uintptr) bool // writes p
	read func(fd uintptr)      // reads into p
}

var attempts = sync.Pool{New: func() any {
	a := new(attempt)
	a.once = func(fd uintptr) bool {
		a.n, a.err = send(fd, a.p)
		return true // return without waiting for the socket to become writable
	}
	a.read = func(fd uintptr) { a.n, a.err = receive(fd, a.p) }
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
	d.progressed() // resets the measurement of progress
	return writeAll(d.conn, p, timeout, d.progressed)
}

// progressed implements socket. It compares the number of unacknowledged bytes with that at the previous
// call. Counting the written bytes would not suffice: a blocked write continues only when a third of the
// kernel's send buffer is free, which may take long with a slow peer.
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

func (d *direct) TryRead(p []byte) (n int, err error) {
	a := attempts.Get().(*attempt)
	defer a.done()
	a.p = p
	if closed := d.raw.Control(a.read); closed != nil {
		return 0, closed
	}
	return a.n, a.err
}

// receive reads the data that has arrived, without blocking. If no data has arrived, it returns 0 and
// a nil error. At the end of the stream, it returns io.EOF.
func receive(fd uintptr, p []byte) (int, error) {
	for {
		n, _, errno := syscall.RawSyscall6(unix.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))),
			uintptr(len(p)), syscall.MSG_DONTWAIT, 0, 0)
		switch {
		case errno == 0 && n == 0:
			return 0, io.EOF
		case errno == 0:
			return int(n), nil
		case errno == syscall.EAGAIN:
			return 0, nil
		case errno != syscall.EINTR:
			return 0, errno
		}
	}
}

// PeerClosed checks whether the peer has ended the stream, without consuming input.
func (d *direct) PeerClosed() bool {
	var gone bool
	err := d.raw.Control(func(fd uintptr) { gone = peerClosed(fd) })
	return gone || err != nil
}

func peerClosed(fd uintptr) bool {
	var one [1]byte
	n, _, err := unix.Recvfrom(int(fd), one[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
	return n == 0 && err == nil || err != nil && err != unix.EAGAIN && err != unix.EINTR
}

func (d *direct) control(f func(fd uintptr)) error { return d.raw.Control(f) }

func (d *direct) Read(p []byte) (int, error) { return d.conn.Read(p) }

func (d *direct) CloseRead() error { return d.conn.CloseRead() }

func (d *direct) CloseWrite() error { return d.conn.CloseWrite() }

func (d *direct) abort() error { return d.conn.Close() }

func (d *direct) End() bool { return true }

func (d *direct) Close() { d.conn.Close() }
