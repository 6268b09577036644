package connection

import (
	"context"
	"net"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Parked is an HTTP connection that was hijacked from net/http and waits, without a goroutine, for an
// event or for the client's next request. Only TCP connections without TLS and with direct writes can be
// parked. When input arrives, the registry calls the owner. The owner must guard each Parked with a lock.
type Parked struct {
	conn   *progressConn
	server *returned // listener that returns the connection to its server
	owner  ParkOwner
	watch  watch
	index  int32 // index in Registry.parked; guarded by Registry.mu
}

// ParkOwner owns a Parked connection.
type ParkOwner interface {
	// Reader's method Readable is called when the connection has input or the peer has closed it.
	Reader
	// Drain is called when the registry begins to drain, and when the server is closed. The owner
	// must close the connection soon afterwards.
	Drain()
	// Abort closes the connection at once.
	Abort()
}

// CanPark reports whether the connection of a request can be parked after Hijack. A handler cannot
// access the connection before it hijacks it, and cannot undo the hijack if parking then fails.
// Therefore CanPark only checks whether the connection was accepted on the port of a Listener of the
// registry.
func (r *Registry) CanPark(request *http.Request) bool {
	local, _ := request.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	if local == nil || request.TLS != nil || request.ProtoMajor != 1 || request.ProtoMinor != 1 {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.listening[local.Port] > 0 && !r.wrapped[local.Port]
}

// addListeners adds n, which may be negative, to the number of Listeners on the port of an address.
func (r *Registry) addListeners(address net.Addr, n int) {
	local, ok := address.(*net.TCPAddr)
	if r == nil || !ok {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.listening == nil {
		r.listening = make(map[int]int)
	}
	if r.listening[local.Port] += n; r.listening[local.Port] <= 0 {
		delete(r.listening, local.Port)
		delete(r.wrapped, local.Port)
	}
}

// setWrapped records that the connections of a port cannot be parked, because a hijacked connection of
// this port was not a connection of a Listener. Either another listener wraps the Listener's
// connections, or it listens on another address with the same port.
func (r *Registry) setWrapped(address net.Addr) {
	local, ok := address.(*net.TCPAddr)
	if !ok {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.listening[local.Port] == 0 {
		return
	}
	if r.wrapped == nil {
		r.wrapped = make(map[int]bool)
	}
	r.wrapped[local.Port] = true
}

// Park adds a hijacked connection of a server to the registry and watches it for input. It returns nil
// if the connection cannot be watched or if the registry drains.
func (r *Registry) Park(c net.Conn, server *http.Server, owner ParkOwner) *Parked {
	g, ok := c.(*progressConn)
	if !ok || g.direct == nil {
		r.setWrapped(c.LocalAddr())
		return nil
	}
	p := &Parked{conn: g, owner: owner, server: r.serverOf(server, c)}
	r.mu.Lock()
	refused := r.noNewMembers
	if !refused {
		p.index = int32(len(r.parked))
		r.parked = append(r.parked, p)
	}
	r.mu.Unlock()
	if refused {
		return nil
	}
	if !r.startWatch(p, owner) {
		r.unpark(p)
		return nil
	}
	return p
}

// unpark removes a connection from the registry.
func (r *Registry) unpark(p *Parked) {
	r.mu.Lock()
	defer r.mu.Unlock()
	last := len(r.parked) - 1
	r.parked[p.index] = r.parked[last]
	r.parked[p.index].index = p.index
	r.parked[last] = nil
	r.parked = r.parked[:last]
	r.signalEmpty()
}

// parkedNow returns a copy of the list of parked connections.
func (r *Registry) parkedNow() []*Parked {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]*Parked(nil), r.parked...)
}

// readable is a set of parked connections that have input at the same time. A few goroutines call the
// owners of these connections one after the other. Fewer goroutines need fewer stacks, so that many
// simultaneous requests take little memory.
type readable struct {
	registry *Registry
	parked   []*Parked
	next     atomic.Int32 // index of the next connection to serve
	left     atomic.Int32 // number of connections for which Readable has not returned yet
	more     int          // maximum number of goroutines that the next call of startMore starts
	timer    *time.Timer
}

// blockedAfter is the time after which serveParked starts more goroutines if some connections still wait
// for a goroutine. A request may block its goroutine, for example while its token is verified.
const blockedAfter = 2 * time.Millisecond

// serveParked calls Readable of the owner of each given connection, in goroutines of the registry.
func (r *Registry) serveParked(parked []*Parked) {
	if len(parked) == 0 {
		return
	}
	b := &readable{registry: r, parked: parked, more: 1}
	b.left.Store(int32(len(parked)))
	workers := min(runtime.GOMAXPROCS(0), len(parked))
	if len(parked) > workers {
		b.timer = time.AfterFunc(time.Hour, b.startMore) // must not fire before b.timer is set
		b.timer.Reset(blockedAfter)
	}
	for range workers {
		r.Go(b.work)
	}
}

func (b *readable) work() {
	for {
		i := int(b.next.Add(1)) - 1
		if i >= len(b.parked) {
			return
		}
		p := b.parked[i]
		p.owner.Readable(p)
		if b.left.Add(-1) == 0 && b.timer != nil {
			b.timer.Stop()
		}
	}
}

// startMore starts more goroutines, at most one per waiting connection. Each call may start twice as
// many as the previous call.
func (b *readable) startMore() {
	waiting := len(b.parked) - int(b.next.Load())
	for range min(b.more, waiting) {
		b.registry.Go(b.work)
	}
	if b.more *= 2; waiting > 0 {
		b.timer.Reset(blockedAfter)
	}
}

// Parked returns the number of parked connections.
func (r *Registry) Parked() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.parked)
}

// Rearm enables the next call of Readable. After Readable was called, it is not called again until Rearm
// is called.
func (p *Parked) Rearm() { p.server.registry.rearmWatch(p) }

// TryRead reads the available input; see TryReader.
func (p *Parked) TryRead(b []byte) (int, error) { return p.conn.direct.(TryReader).TryRead(b) }

// TryWrite writes the bytes that the connection accepts without blocking.
func (p *Parked) TryWrite(b []byte) (int, error) { return p.conn.direct.TryWrite(b) }

// Write writes all of b. It fails if there is no progress for the write timeout of the Listener.
func (p *Parked) Write(b []byte) (int, error) { return p.conn.Write(b) }

// PeerClosed reports whether the peer has closed the connection and all data from the peer was read.
func (p *Parked) PeerClosed() bool { return p.conn.direct.PeerClosed() }

// Conn returns the connection, for example as the return value of a ResponseWriter's Hijack method.
func (p *Parked) Conn() net.Conn { return p.conn }

// ServerClosed reports whether the server of the connection was closed or shut down.
func (p *Parked) ServerClosed() bool {
	select {
	case <-p.server.done:
		return true
	default:
		return false
	}
}

// Close closes the connection. The owner must call either Close or Leave, and only once.
func (p *Parked) Close() {
	p.server.registry.stopWatch(p)
	p.conn.Close()
	p.server.registry.unpark(p)
}

// Interrupt makes a blocked write of another goroutine fail. Close must be called afterwards.
func (p *Parked) Interrupt() { p.conn.Conn.Close() }

// Leave removes the connection from the registry. The caller must then call giveBack, which returns
// the connection to its server and blocks until the server has accepted it or is closed. The server
// first reads the bytes in unread. The owner must call either Close or Leave, and only once.
func (p *Parked) Leave(unread []byte) (giveBack func()) {
	p.server.registry.forget(p)
	p.server.registry.stopWatch(p)
	p.server.registry.unpark(p)
	p.conn.returned = &unread
	return func() {
		select {
		case p.server.conns <- p.conn:
		case <-p.server.done:
			p.conn.Close()
		}
	}
}

// WasParked reports whether a connection was parked and then returned to its server.
func WasParked(c net.Conn) bool {
	g, ok := c.(*progressConn)
	return ok && g.returned != nil
}

// returned is a net.Listener from which a server accepts connections that were parked and are returned
// to it. The listener is closed when the server is closed or shut down, or when the registry is closed.
type returned struct {
	registry *Registry
	addr     net.Addr
	context  context.Context // context of the server, for ConnContext
	conns    chan net.Conn
	once     sync.Once
	done     chan struct{} // closed by Close
}

// serverOf returns the listener for connections that are returned to a server. c is any connection of
// that server.
func (r *Registry) serverOf(server *http.Server, c net.Conn) *returned {
	r.mu.Lock()
	l := r.returned[server]
	r.mu.Unlock()
	if l != nil {
		return l
	}
	l = &returned{registry: r, addr: c.LocalAddr(), conns: make(chan net.Conn), done: make(chan struct{}), context: context.Background()}
	if server.BaseContext != nil {
		l.context = server.BaseContext(l)
	}
	l.context = context.WithValue(l.context, http.ServerContextKey, server)
	return r.addServer(server, l)
}

// addServer makes a server serve the listener l, unless the server already has such a listener. It
// returns the listener that the server uses.
func (r *Registry) addServer(server *http.Server, l *returned) *returned {
	r.mu.Lock()
	defer r.mu.Unlock()
	if earlier := r.returned[server]; earlier != nil {
		return earlier
	}
	if r.closed {
		_ = l.Close()
		return l
	}
	if r.returned == nil {
		r.returned = make(map[*http.Server]*returned)
	}
	r.returned[server] = l
	r.running.Go(func() {
		_ = server.Serve(l) // always returns an error, when the server or the registry is closed
		_ = l.Close()
		for _, p := range r.parkedNow() {
			if p.server == l {
				p.owner.Drain()
			}
		}
	})
	return l
}

// ConnContext returns the context of a new connection of a server, without
// http.LocalAddrContextKey. Unlike a request's context, it contains no values from middleware.
func (r *Registry) ConnContext(server *http.Server, c net.Conn) context.Context {
	ctx := r.serverOf(server, c).context
	if server.ConnContext != nil {
		ctx = server.ConnContext(ctx, c)
	}
	return ctx
}

// Accept implements net.Listener.
func (l *returned) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *returned) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

// Addr implements net.Listener.
func (l *returned) Addr() net.Addr { return l.addr }

// drainParked calls Drain of the owner of each parked connection, until ctx ends.
func (r *Registry) drainParked(ctx context.Context) {
	for _, p := range r.parkedNow() {
		if ctx.Err() != nil {
			return
		}
		p.owner.Drain()
	}
}
