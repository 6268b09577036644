package outlet

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
	group *Group          // static
	epoll *os.File        // static, of fd
	fd    int             // static; used by connections that are open, all of which end before it
	raw   syscall.RawConn // static, of epoll

	mu      sync.Mutex // guards what follows, and the watch of every outlet
	outlets []*Outlet  // by place; nil: free
	free    []int32    // places
	life    int32      // counts those that began: a place is used again
}

// watch is how the connection of an outlet is watched. It changes under the outlet's mutex and the
// poller's.
type watch struct {
	reader Reader // nil: it is watched for the peer's end only
	place  int32
	life   int32 // 0: it is not watched
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
				runtime.Gosched() // to those that were told: a crowd at once is as many goroutines as a batch
			case err != unix.EINTR:
				return false // wait
			}
		}
	})
}

// tell calls whoever an event is for.
func (p *poller) tell(e *unix.EpollEvent) {
	o, r := p.find(e)
	switch {
	case o == nil:
	case r == nil:
		p.group.Go(o.parted)
	default:
		p.group.Go(func() { r.Readable(unwrap(o.conn).(*direct)) })
	}
}

// find gives the outlet of an event, and its reader; nil: that watch has ended meanwhile.
func (p *poller) find(e *unix.EpollEvent) (*Outlet, Reader) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if o := p.outlets[e.Fd]; o != nil && o.watch.life == e.Pad {
		return o, o.watch.reader
	}
	return nil, nil
}

func (p *poller) close() { p.epoll.Close() }

// beginWatch watches the connection; without a reader for the peer's end only.
func (o *Outlet) beginWatch(c Conn, r Reader) bool {
	if _, ok := c.(*direct); !ok {
		return false
	}
	p := o.cfg.Group.watcher()
	if p == nil {
		return false
	}
	p.mu.Lock()
	p.life = max(p.life+1, 1)
	o.watch = watch{reader: r, life: p.life}
	if n := len(p.free); n > 0 {
		o.watch.place, p.free = p.free[n-1], p.free[:n-1]
		p.outlets[o.watch.place] = o
	} else {
		o.watch.place = int32(len(p.outlets))
		p.outlets = append(p.outlets, o)
	}
	p.mu.Unlock()
	if o.tellEpoll(unix.EPOLL_CTL_ADD) != nil {
		o.endWatch()
		return false
	}
	return true
}

// isWatched reports that the outlet will be told when the peer has gone.
func (o *Outlet) isWatched() bool { return o.watch.life != 0 }

func (o *Outlet) watchAgain() {
	if o.isWatched() {
		_ = o.tellEpoll(unix.EPOLL_CTL_MOD) // fails only on a connection that is being closed
	}
}

// tellEpoll says what to wait for, once. It does not touch what has been closed, though its number
// may be another's by now.
func (o *Outlet) tellEpoll(op int) (err error) {
	e := unix.EpollEvent{Events: unix.EPOLLRDHUP | unix.EPOLLONESHOT, Fd: o.watch.place, Pad: o.watch.life}
	if o.watch.reader != nil {
		e.Events |= unix.EPOLLIN
	}
	closed := unwrap(o.conn).(*direct).raw.Control(func(fd uintptr) {
		err = unix.EpollCtl(o.cfg.Group.poller.fd, op, int(fd), &e)
	})
	if closed != nil {
		return closed
	}
	return err
}

// endWatch is called before the connection is closed, which takes it out of epoll.
func (o *Outlet) endWatch() {
	if !o.isWatched() {
		return
	}
	p := o.cfg.Group.poller
	p.mu.Lock()
	defer p.mu.Unlock()
	p.outlets[o.watch.place] = nil
	p.free = append(p.free, o.watch.place)
	o.watch = watch{}
}

// parted is called when the peer has closed its side, which may be half of a connection: what is
// being written is for it still, and after that its next heartbeat ends it.
func (o *Outlet) parted() {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.closed:
	case o.busy:
		o.endWatch()
	default:
		o.close()
	}
}
