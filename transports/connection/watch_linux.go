package connection

import (
	"os"
	"runtime"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// poller waits for all watched connections of a group with one epoll instance, which is itself a
// file that the runtime's poller waits for: there is one goroutine and no thread. A connection is
// taken out by closing it.
type poller struct {
	registry *Registry       // static
	epoll    *os.File        // static, of fd
	fd       int             // static; used by connections that are open, all of which end before it
	raw      syscall.RawConn // static, of epoll

	mu         sync.Mutex // guards what follows, and the watch of every outlet
	writers    []*Writer  // by place; nil: free
	free       []int32    // places
	generation int32      // counts those that began: a place is used again
}

// watch is how the connection of an outlet is watched. It changes under the outlet's mutex and the
// poller's.
type watch struct {
	reader     Reader // nil: it is watched for the peer's end only
	slot       int32
	generation int32 // 0: it is not watched
}

// watcher gives the poller of the group; nil where there can be none.
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
	if err := unix.SetNonblock(fd, true); err != nil { // which NewFile takes for leave to wait for it
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

// run ends when the poller is closed.
func (p *poller) run() {
	var events [128]unix.EpollEvent
	_ = p.raw.Read(func(fd uintptr) bool { // fails only when it is closed
		for {
			n, err := unix.EpollWait(int(fd), events[:], 0)
			switch {
			case n > 0:
				for i := range events[:n] {
					p.dispatch(&events[i])
				}
				runtime.Gosched() // to those that were told: a crowd at once is as many goroutines as a batch
			case err != unix.EINTR:
				return false // wait
			}
		}
	})
}

// tell calls whoever an event is for.
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

// find gives the outlet of an event, and its reader; nil: that watch has ended meanwhile.
func (p *poller) lookup(e *unix.EpollEvent) (*Writer, Reader) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if o := p.writers[e.Fd]; o != nil && o.watch.generation == e.Pad {
		return o, o.watch.reader
	}
	return nil, nil
}

func (p *poller) close() { p.epoll.Close() }

// beginWatch watches the connection; without a reader for the peer's end only.
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

// isWatched reports that the outlet will be told when the peer has gone.
func (w *Writer) isWatched() bool { return w.watch.generation != 0 }

func (w *Writer) rearmWatch() {
	if w.isWatched() {
		_ = w.updateEpoll(unix.EPOLL_CTL_MOD) // fails only on a connection that is being closed
	}
}

// tellEpoll says what to wait for, once. It does not touch what has been closed, though its number
// may be another's by now.
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

// endWatch is called before the connection is closed, which takes it out of epoll.
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

// parted is called when the peer has closed its side, which may be half of a connection: what is
// being written is for it still, and after that its next heartbeat ends it.
func (w *Writer) onPeerClosed() {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.closed:
	case w.writing:
		w.stopWatch()
	default:
		w.close()
	}
}
