package connection

import (
	"os"
	"runtime"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// poller watches all connections of a registry with one epoll instance. The Go runtime's own poller
// waits until that instance is readable, so poller needs one goroutine and no thread. When a connection
// is closed, the kernel removes it from the epoll instance.
type poller struct {
	registry *Registry       // static
	epoll    *os.File        // static; owns fd
	fd       int             // static; open until all connections are closed
	raw      syscall.RawConn // static; raw access to epoll

	mu         sync.Mutex // guards the fields below, and each watch
	watched    []watched  // connections by slot; nil: the slot is free
	free       []int32    // free slots
	generation int32      // number of the newest watch; distinguishes successive watches that use the same slot
}

// watched is a connection with direct writes that the poller can watch: the connection of a Writer,
// or a Parked.
type watched interface {
	// watching returns the watch of the connection, which changes only while the lock of the
	// connection and poller.mu are held.
	watching() *watch
	socket() pollable
	// input returns the connection from which the Reader reads.
	input() TryReader
	// onPeerClosed is called when the peer has closed a connection that is watched without a Reader.
	onPeerClosed()
}

// pollable is a socket that the poller can watch.
type pollable interface {
	// control calls f with the file descriptor, which stays open until f returns. If the socket is
	// closed, control returns an error.
	control(f func(fd uintptr)) error
}

// watch is the registration of a connection with the poller.
type watch struct {
	reader     Reader // nil: the poller only detects that the peer closes the connection
	slot       int32
	generation int32 // 0: not watched
}

// startPoller returns the registry's poller, and starts it on first use. It returns nil if the poller
// cannot be started.
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
	_ = p.raw.Read(func(fd uintptr) bool { // fails only after the poller is closed
		for {
			n, err := unix.EpollWait(int(fd), events[:], 0)
			switch {
			case n > 0:
				var parked []*Parked
				for i := range events[:n] {
					parked = p.dispatch(&events[i], parked)
				}
				p.registry.serveParked(parked)
				runtime.Gosched() // lets the new goroutines run before more are started for the next events
			case err != unix.EINTR:
				return false // p.raw.Read then blocks until the epoll instance is readable
			}
		}
	})
}

// dispatch handles an event from epoll. If the event's connection is a Parked, dispatch appends the
// connection to the slice parked. Otherwise it calls the connection's Reader or onPeerClosed in a
// goroutine. It returns the slice.
func (p *poller) dispatch(e *unix.EpollEvent, parked []*Parked) []*Parked {
	o, r := p.lookup(e)
	if park, ok := o.(*Parked); ok {
		return append(parked, park)
	}
	switch {
	case o == nil:
	case r == nil:
		p.registry.Go(o.onPeerClosed)
	default:
		p.registry.Go(func() { r.Readable(o.input()) })
	}
	return parked
}

// lookup returns the connection of an event, and the connection's Reader. Both are nil if the
// connection is no longer watched.
func (p *poller) lookup(e *unix.EpollEvent) (watched, Reader) {
	p.mu.Lock()
	defer p.mu.Unlock()
	o := p.watched[e.Fd]
	if o == nil || o.watching().generation != e.Pad {
		return nil, nil
	}
	return o, o.watching().reader
}

func (p *poller) close() { p.epoll.Close() }

// startWatch watches the connection for input. If reader is nil, startWatch only detects that the peer
// closes the connection. It returns false if the connection cannot be watched.
func (r *Registry) startWatch(o watched, reader Reader) bool {
	p := r.startPoller()
	if p == nil {
		return false
	}
	w := o.watching()
	p.mu.Lock()
	p.generation = max(p.generation+1, 1)
	*w = watch{reader: reader, generation: p.generation}
	if n := len(p.free); n > 0 {
		w.slot, p.free = p.free[n-1], p.free[:n-1]
		p.watched[w.slot] = o
	} else {
		w.slot = int32(len(p.watched))
		p.watched = append(p.watched, o)
	}
	p.mu.Unlock()
	if p.update(o, unix.EPOLL_CTL_ADD) != nil {
		r.stopWatch(o)
		return false
	}
	return true
}

// rearmWatch makes the poller report one more event of the connection.
func (r *Registry) rearmWatch(o watched) {
	if o.watching().generation != 0 {
		_ = r.poller.update(o, unix.EPOLL_CTL_MOD) // fails only while the connection is being closed
	}
}

// update performs an epoll_ctl operation for the connection. After the operation, epoll reports at most
// one event of the connection. If the connection is closed, update does nothing: the descriptor may then
// belong to another connection.
func (p *poller) update(o watched, op int) error {
	w := o.watching()
	c := controls.Get().(*control)
	defer controls.Put(c)
	c.epoll, c.op, c.event = p.fd, op, unix.EpollEvent{Events: unix.EPOLLRDHUP | unix.EPOLLONESHOT, Fd: w.slot, Pad: w.generation}
	if w.reader != nil {
		c.event.Events |= unix.EPOLLIN
	}
	if closed := o.socket().control(c.once); closed != nil {
		return closed
	}
	return c.err
}

// control holds the arguments and the result of a call of epoll_ctl inside syscall.RawConn.Control.
// It is pooled for the same reason as attempt.
type control struct {
	epoll, op int
	event     unix.EpollEvent
	err       error
	once      func(fd uintptr)
}

var controls = sync.Pool{New: func() any {
	c := new(control)
	c.once = func(fd uintptr) { c.err = unix.EpollCtl(c.epoll, c.op, int(fd), &c.event) }
	return c
}}

// stopWatch ends the watch. To remove the connection from epoll as well, the caller either closes the
// connection afterwards or has called forget before.
func (r *Registry) stopWatch(o watched) {
	w := o.watching()
	if w.generation == 0 {
		return
	}
	p := r.poller
	p.mu.Lock()
	defer p.mu.Unlock()
	p.watched[w.slot] = nil
	p.free = append(p.free, w.slot)
	*w = watch{}
}

// forget removes from epoll a connection that will stay open. It must be called before stopWatch.
func (r *Registry) forget(o watched) {
	if o.watching().generation != 0 {
		_ = r.poller.update(o, unix.EPOLL_CTL_DEL) // fails only while the connection is being closed
	}
}

// watchable is a Conn with direct writes, with or without TLS.
type watchable interface {
	TryReader
	socket() pollable
}

func (d *direct) socket() pollable { return d }

func (d *descriptor) socket() pollable { return d }

// startWatch watches the Writer's connection, if it has direct writes.
func (w *Writer) startWatch(c Conn, r Reader) bool {
	if _, ok := c.(watchable); !ok {
		return false
	}
	return w.cfg.Registry.startWatch(w, r)
}

// isWatched reports whether the poller watches the connection, and so detects that the peer closes it.
func (w *Writer) isWatched() bool { return w.watch.generation != 0 }

func (w *Writer) watching() *watch { return &w.watch }

func (w *Writer) socket() pollable { return unwrapConn(w.conn).(watchable).socket() }

func (w *Writer) input() TryReader { return unwrapConn(w.conn).(watchable) }

func (w *Writer) rearmWatch() { w.cfg.Registry.rearmWatch(w) }

func (w *Writer) stopWatch() { w.cfg.Registry.stopWatch(w) }

// onPeerClosed closes the connection after the peer has closed it. The peer may have closed only its
// write side, so if the drain goroutine is writing, onPeerClosed lets it continue; a later heartbeat
// then closes the connection.
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

func (p *Parked) watching() *watch { return &p.watch }

func (p *Parked) socket() pollable { return p.conn.direct.(pollable) }

func (p *Parked) input() TryReader { return p }

func (p *Parked) onPeerClosed() {} // never called, because a Parked connection has a Reader
