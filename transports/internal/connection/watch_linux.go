package connection

import (
	"os"
	"runtime"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// poller watches all connections of a registry with one epoll instance. The runtime's poller waits
// for that instance, so only one goroutine and no thread is needed. Closing a connection removes it
// from epoll.
type poller struct {
	registry *Registry       // static
	epoll    *os.File        // static; owns fd
	fd       int             // static; used by open connections, all of which are closed before it is
	raw      syscall.RawConn // static; of epoll

	mu         sync.Mutex // guards the fields below, and Writer.watch
	writers    []*Writer  // index: slot; nil: the slot is free
	free       []int32    // free slots
	generation int32      // generation of the newest watch; distinguishes watches of a reused slot
}

// watch is a connection's registration with the poller. Writer.mu and poller.mu guard it: it
// changes with both held.
type watch struct {
	reader     Reader // nil: only the peer's close is reported
	slot       int32
	generation int32 // 0: not watched
}

// startPoller returns the registry's poller, and starts it on first use. It returns nil if the
// system provides none.
func (r *Registry) startPoller() *poller {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.poller != nil || r.closed {
		return r.poller
	}
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil
	}
	if err := unix.SetNonblock(fd, true); err != nil { // a requirement for NewFile to register it with the runtime's poller
		unix.Close(fd)
		return nil
	}
	p := &poller{registry: r, fd: fd, epoll: os.NewFile(uintptr(fd), "epoll")}
	if p.raw, err = p.epoll.SyscallConn(); err != nil {
		p.epoll.Close()
		return nil
	}
	r.poller = p
	r.running.Go(p.run)
	return p
}

// run dispatches events until the poller is closed.
func (p *poller) run() {
	var events [128]unix.EpollEvent
	_ = p.raw.Read(func(fd uintptr) bool { // fails only when the poller is closed
		for {
			n, err := unix.EpollWait(int(fd), events[:], 0)
			switch {
			case n > 0:
				for i := range events[:n] {
					p.dispatch(&events[i])
				}
				runtime.Gosched() // lets the readers run, so that many events do not start more goroutines at once than one batch has
			case err != unix.EINTR:
				return false // blocks until epoll is readable
			}
		}
	})
}

// dispatch calls the Reader, or the handler of a close, for an event.
func (p *poller) dispatch(e *unix.EpollEvent) {
	o, r := p.lookup(e)
	switch {
	case o == nil:
	case r == nil:
		p.registry.Go(o.onPeerClosed)
	default:
		p.registry.Go(func() { r.Readable(unwrapConn(o.conn).(*direct)) })
	}
}

// lookup returns the Writer of an event and its Reader, or nil if that watch has ended.
func (p *poller) lookup(e *unix.EpollEvent) (*Writer, Reader) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if o := p.writers[e.Fd]; o != nil && o.watch.generation == e.Pad {
		return o, o.watch.reader
	}
	return nil, nil
}

func (p *poller) close() { p.epoll.Close() }

// startWatch watches the connection for input or, if r is nil, only for the peer's close.
func (w *Writer) startWatch(c Conn, r Reader) bool {
	if _, ok := c.(*direct); !ok {
		return false
	}
	p := w.cfg.Registry.startPoller()
	if p == nil {
		return false
	}
	p.mu.Lock()
	p.generation = max(p.generation+1, 1)
	w.watch = watch{reader: r, generation: p.generation}
	if n := len(p.free); n > 0 {
		w.watch.slot, p.free = p.free[n-1], p.free[:n-1]
		p.writers[w.watch.slot] = w
	} else {
		w.watch.slot = int32(len(p.writers))
		p.writers = append(p.writers, w)
	}
	p.mu.Unlock()
	if w.updateEpoll(unix.EPOLL_CTL_ADD) != nil {
		w.stopWatch()
		return false
	}
	return true
}

// isWatched reports whether the poller will report that the peer has closed.
func (w *Writer) isWatched() bool { return w.watch.generation != 0 }

func (w *Writer) rearmWatch() {
	if w.isWatched() {
		_ = w.updateEpoll(unix.EPOLL_CTL_MOD) // fails only while the connection is being closed
	}
}

// updateEpoll registers the connection for one event. It does nothing if the connection is closed,
// because its descriptor may then belong to another connection.
func (w *Writer) updateEpoll(op int) (err error) {
	e := unix.EpollEvent{Events: unix.EPOLLRDHUP | unix.EPOLLONESHOT, Fd: w.watch.slot, Pad: w.watch.generation}
	if w.watch.reader != nil {
		e.Events |= unix.EPOLLIN
	}
	closed := unwrapConn(w.conn).(*direct).raw.Control(func(fd uintptr) {
		err = unix.EpollCtl(w.cfg.Registry.poller.fd, op, int(fd), &e)
	})
	if closed != nil {
		return closed
	}
	return err
}

// stopWatch ends the watch. It is called before the connection is closed, which removes it from
// epoll.
func (w *Writer) stopWatch() {
	if !w.isWatched() {
		return
	}
	p := w.cfg.Registry.poller
	p.mu.Lock()
	defer p.mu.Unlock()
	p.writers[w.watch.slot] = nil
	p.free = append(p.free, w.watch.slot)
	w.watch = watch{}
}

// onPeerClosed handles a close by the peer. The peer may have closed only its write side, so data
// that is being written is still sent. The next heartbeat closes the connection.
func (w *Writer) onPeerClosed() {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.state == stateClosed:
	case w.writing:
		w.stopWatch()
	default:
		w.close()
	}
}
