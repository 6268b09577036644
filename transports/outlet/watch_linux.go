package outlet

import (
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// poller waits for all watched connections of a group with one epoll instance, which is itself a
// file that the runtime's poller waits for: there is one goroutine and no thread. A connection is
// taken out by closing it.
type poller struct {
	group *Group          // static
	epoll *os.File        // static, of fd
	fd    int             // static; used by connections that are open, all of which end before it
	raw   syscall.RawConn // static, of epoll

	mu      sync.Mutex // guards what follows, and the place of every watch
	watches []*watch   // by slot; nil: free
	free    []int32    // slots
	life    int32      // counts those that began: a slot is used again
}

// watch is how the connection of an outlet is watched. It is guarded by the outlet's mutex, and its
// place by the poller's too.
type watch struct {
	poller *poller // nil: it is not watched
	outlet *Outlet
	conn   *direct
	reader Reader // nil: it is watched for the peer's end only
	slot   int32
	life   int32
}

// watcher gives the poller of the group; nil where there can be none.
func (g *Group) watcher() *poller {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.poller != nil || g.closed {
		return g.poller
	}
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil
	}
	if err := unix.SetNonblock(fd, true); err != nil { // which NewFile takes for leave to wait for it
		unix.Close(fd)
		return nil
	}
	p := &poller{group: g, fd: fd, epoll: os.NewFile(uintptr(fd), "epoll")}
	if p.raw, err = p.epoll.SyscallConn(); err != nil {
		p.epoll.Close()
		return nil
	}
	g.poller = p
	g.running.Go(p.run)
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
					p.tell(&events[i])
				}
			case err != unix.EINTR:
				return false // wait
			}
		}
	})
}

// tell calls the reader of an event, unless its watch has ended meanwhile.
func (p *poller) tell(e *unix.EpollEvent) {
	p.mu.Lock()
	w := p.watches[e.Fd]
	if w == nil || w.life != e.Pad {
		p.mu.Unlock()
		return
	}
	o, reader, conn := w.outlet, w.reader, w.conn
	p.mu.Unlock()
	if reader == nil {
		p.group.Go(o.parted)
	} else {
		p.group.Go(func() { reader.Readable(conn) })
	}
}

func (p *poller) close() { p.epoll.Close() }

// begin watches c; without a reader for the peer's end only.
func (w *watch) begin(o *Outlet, c Conn, r Reader) bool {
	conn, ok := c.(*direct)
	if !ok {
		return false
	}
	p := o.cfg.Group.watcher()
	if p == nil {
		return false
	}
	*w = watch{poller: p, outlet: o, conn: conn, reader: r}
	p.mu.Lock()
	p.life++
	w.life = p.life
	if n := len(p.free); n > 0 {
		w.slot, p.free = p.free[n-1], p.free[:n-1]
		p.watches[w.slot] = w
	} else {
		w.slot = int32(len(p.watches))
		p.watches = append(p.watches, w)
	}
	p.mu.Unlock()
	if w.control(unix.EPOLL_CTL_ADD) != nil {
		w.end()
		return false
	}
	return true
}

// on reports that it will be told when the peer has gone.
func (w *watch) on() bool { return w.poller != nil }

func (w *watch) again() {
	if w.on() {
		_ = w.control(unix.EPOLL_CTL_MOD) // fails only on a connection that is being closed
	}
}

// control tells epoll what to wait for, once. What has been closed it does not touch, though its
// number may be another's by now.
func (w *watch) control(op int) (err error) {
	e := unix.EpollEvent{Events: unix.EPOLLRDHUP | unix.EPOLLONESHOT, Fd: w.slot, Pad: w.life}
	if w.reader != nil {
		e.Events |= unix.EPOLLIN
	}
	closed := w.conn.raw.Control(func(fd uintptr) {
		err = unix.EpollCtl(w.poller.fd, op, int(fd), &e)
	})
	if closed != nil {
		return closed
	}
	return err
}

// end is called before the connection is closed.
func (w *watch) end() {
	if w.poller == nil {
		return
	}
	w.poller.mu.Lock()
	w.poller.watches[w.slot] = nil
	w.poller.free = append(w.poller.free, w.slot)
	w.poller.mu.Unlock()
	w.poller = nil
}

// parted is called when the peer has closed its side, which may be half of a connection: what is
// being written is for it still, and after that its next heartbeat ends it.
func (o *Outlet) parted() {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.closed:
	case o.busy:
		o.watch.end()
	default:
		o.close()
	}
}
