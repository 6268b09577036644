package connection

import (
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// descriptor is a TCP socket that was taken over from package net. Like direct, it writes without the
// runtime's poller. It saves the memory of net.TCPConn, of its two addresses, and of the registration
// with the runtime's poller. It is registered with that poller only if a read or write had to block.
type descriptor struct {
	mu     sync.Mutex // held during system calls with fd, except by TryWrite, so that fd stays open
	fd     int32      // -1: closed; changed with mu held
	queued int32      // number of unacknowledged bytes at the previous call of progressed
	file   *os.File   // owns fd, for reads and writes that block; nil until the first one
}

// takeOver implements socket. It returns nil if the process cannot open another file.
func (d *direct) takeOver() socket {
	fd := -1
	if closed := d.raw.Control(func(old uintptr) { fd = duplicate(int(old)) }); closed != nil || fd < 0 {
		return nil
	}
	d.conn.Close()
	// The number of the closed descriptor is now free. The copy must get that number, because the hub
	// derives its number of open files from the lowest free number, see server.acceptor.
	if lowest := duplicate(fd); lowest >= 0 {
		unix.Close(fd)
		fd = lowest
	}
	return &descriptor{fd: int32(fd)}
}

func (*descriptor) takeOver() socket { return nil }

// duplicate returns a second descriptor for the socket of fd. The new descriptor has the lowest free
// number. duplicate returns -1 if the process cannot open another file.
func duplicate(fd int) int {
	duplicate, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return -1
	}
	return duplicate
}

// control calls f with fd, which stays open until f returns.
func (d *descriptor) control(f func(fd uintptr)) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fd < 0 {
		return net.ErrClosed
	}
	f(uintptr(d.fd))
	return nil
}

// TryWrite implements Conn. It needs no lock: Writer.mu ensures that it is not called during or after
// Close.
func (d *descriptor) TryWrite(p []byte) (int, error) { return send(uintptr(d.fd), p) }

// Buffered implements Conn.
func (d *descriptor) Buffered() bool { return false }

// TryRead implements TryReader.
func (d *descriptor) TryRead(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fd < 0 {
		return 0, net.ErrClosed
	}
	return receive(uintptr(d.fd), p)
}

func (d *descriptor) trySafely(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fd < 0 {
		return 0, net.ErrClosed
	}
	return send(uintptr(d.fd), p)
}

// Write implements Conn. It blocks only if the kernel's send buffer is full.
func (d *descriptor) Write(p []byte, timeout time.Duration) error {
	n, err := d.trySafely(p)
	if n == len(p) || err != nil {
		return err
	}
	f, err := d.blockingFile()
	if err != nil {
		return err
	}
	d.progressed() // starts the measurement of progress
	return writeAll(f, p[n:], timeout, d.progressed)
}

func (d *descriptor) Read(p []byte) (int, error) {
	f, err := d.blockingFile()
	if err != nil {
		return 0, err
	}
	return f.Read(p)
}

// blockingFile returns an os.File for fd, whose reads and writes block. The first call creates it,
// which registers fd with the runtime's poller. If that registration fails, all reads and writes that
// would block return an error instead.
func (d *descriptor) blockingFile() (*os.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fd < 0 {
		return nil, net.ErrClosed
	}
	if d.file == nil {
		d.file = os.NewFile(uintptr(d.fd), "socket")
	}
	return d.file, nil
}

// progressed implements socket; see direct.progressed.
func (d *descriptor) progressed() bool {
	before := d.queued
	d.queued = 0
	_ = d.control(func(fd uintptr) {
		queued, _ := unix.IoctlGetInt(int(fd), unix.SIOCOUTQ)
		d.queued = int32(queued)
	})
	return d.queued < before
}

// PeerClosed checks whether the peer has ended the stream, without consuming input.
func (d *descriptor) PeerClosed() (gone bool) {
	err := d.control(func(fd uintptr) { gone = peerClosed(fd) })
	return gone || err != nil
}

func (d *descriptor) End() bool { return true }

func (d *descriptor) CloseRead() error { return d.shutdown(unix.SHUT_RD) }

func (d *descriptor) CloseWrite() error { return d.shutdown(unix.SHUT_WR) }

func (d *descriptor) abort() error { return d.shutdown(unix.SHUT_RDWR) }

func (d *descriptor) shutdown(sides int) (err error) {
	if closed := d.control(func(fd uintptr) { err = unix.Shutdown(int(fd), sides) }); closed != nil {
		return closed
	}
	return err
}

// Close implements Conn. No system call uses fd when it is closed: TryWrite may not run during Close,
// other calls hold mu or find that fd is -1, and file.Close waits for reads and writes of file.
func (d *descriptor) Close() {
	d.mu.Lock()
	fd, file := d.fd, d.file
	d.fd = -1
	d.mu.Unlock()
	switch {
	case fd < 0:
	case file != nil:
		file.Close() // makes blocked reads and writes fail
	default:
		unix.Close(int(fd))
	}
}
