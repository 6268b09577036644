package bench

import (
	"context"
	"crypto/tls"
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"
)

const (
	// handshakes is the maximum number of subscribers that are connecting at the same time.
	handshakes = 64
	// In one pass of the loop, at most maxReady sockets are read and at most maxStarts connections
	// are started, so that the arrival time of an event is recorded soon after its arrival.
	maxReady, maxStarts = 64, 8
	// tick is the interval at which the loop checks its end condition while nothing arrives.
	tick = 5 * time.Millisecond
	// patience is the maximum time to wait for an event that must arrive.
	patience = time.Minute
	// maxLatency is the largest latency that the histogram can record, in ns.
	maxLatency = int64(time.Minute)
)

// load reads the sockets of all subscribers with one epoll, in one goroutine. The goroutine that calls
// pump owns all fields of load.
type load struct {
	ctx     context.Context
	epoll   int
	base    time.Time // zero of the clock
	conns   []*conn   // index: file descriptor
	ready   []unix.EpollEvent
	buf     []byte
	current *conn // connection whose bytes are being decoded
	now     int64 // time at which the bytes that are being decoded arrived
	emit    func(message)
	err     error // error of the first connection that failed
}

func newLoad(ctx context.Context) (*load, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	l := &load{ctx: ctx, epoll: epoll, base: time.Now(), ready: make([]unix.EpollEvent, maxReady), buf: make([]byte, 256<<10)}
	l.emit = func(m message) { l.current.handle(m) }
	return l, nil
}

func (l *load) close() {
	for _, c := range l.conns {
		if c != nil {
			l.drop(c)
		}
	}
	unix.Close(l.epoll)
}

// clock returns the monotonic time since base in ns. Each event contains the value that clock returned when
// the event was published.
func (l *load) clock() int64 { return int64(time.Since(l.base)) }

// pump reads from all sockets until done returns true, or until the duration given by the parameter most has
// passed. It returns the last result of done.
func (l *load) pump(most time.Duration, done func() bool) (bool, error) {
	until := time.Now().Add(most)
	for {
		if l.err != nil {
			return false, l.err
		}
		if err := l.ctx.Err(); err != nil {
			return false, context.Cause(l.ctx)
		}
		if done() {
			return true, nil
		}
		left := time.Until(until)
		if left <= 0 {
			return false, nil
		}
		n, err := unix.EpollWait(l.epoll, l.ready, int((min(left, tick)+time.Millisecond-1)/time.Millisecond))
		if err != nil && err != unix.EINTR {
			return false, fmt.Errorf("epoll: %w", err)
		}
		for _, e := range l.ready[:max(n, 0)] {
			if c := l.conns[e.Fd]; c != nil {
				l.serve(c)
			}
		}
	}
}

// pumpFor reads from all sockets for the duration d.
func (l *load) pumpFor(d time.Duration) error {
	_, err := l.pump(d, func() bool { return false })
	return err
}

// serve handles a connection whose socket is ready for reading or writing.
func (l *load) serve(c *conn) {
	err := c.sendRequest()
	if err == nil && c.requestSent {
		err = l.read(c)
	}
	if err != nil && l.err == nil {
		l.err = fmt.Errorf("subscriber %d of %s: %w", c.index+1, c.group.name, err)
	}
}

func (l *load) read(c *conn) error {
	if c.tls != nil {
		return l.readTLS(c)
	}
	n, err := unix.Read(c.fd, l.buf)
	switch {
	case err == unix.EAGAIN, err == unix.EINTR:
		return nil
	case err != nil:
		return err
	case n == 0:
		return errClosed
	}
	return l.decode(c, n)
}

// decode decodes the first n bytes of l.buf, which the connection c has just received.
func (l *load) decode(c *conn, n int) error {
	l.current, l.now = c, l.clock()
	if err := c.decoder.feed(l.buf[:n], l.emit); err != nil {
		return err
	}
	return c.err
}

// epollCtl adds the socket of c to the epoll, changes its events or removes it, depending on op.
func (l *load) epollCtl(c *conn, op int, events uint32) error {
	return unix.EpollCtl(l.epoll, op, c.fd, &unix.EpollEvent{Events: events, Fd: int32(c.fd)})
}

// drop closes a connection by a reset, so that no port stays in TIME_WAIT.
func (l *load) drop(c *conn) {
	l.conns[c.fd] = nil
	_ = unix.SetsockoptLinger(c.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	unix.Close(c.fd)
}

// group is a set of subscribers that were opened with the same plan.
type group struct {
	load *load
	name string
	plan plan

	conns    []*conn
	opened   int
	advanced int64 // sum, over all subscribers, of the events that they have received or that count as lost
	tally    Tally
	gaps     int64
	latency  *hdrhistogram.Histogram // nil: latency is not measured
	lastID   []byte                  // ID of the event that arrived last
	lastSeq  uint32
}

// connect opens the subscribers of a plan. The constant handshakes limits how many of them connect at
// the same time. connect returns when the hub has confirmed every subscription.
func (l *load) connect(name string, p plan) (*group, error) {
	g := &group{load: l, name: name, plan: p}
	started, each, most := 0, 5*time.Millisecond, handshakes
	if p.tls != nil {
		each, most = 30*time.Millisecond, 8 // the loop blocks during each TLS handshake
	}
	fill := func() bool {
		for starts := 0; starts < maxStarts && started < p.n && started-g.opened < most && l.err == nil; starts++ {
			if err := g.open(started); err != nil {
				l.err = fmt.Errorf("subscriber %d of %s: %w", started+1, name, err)
			}
			started++
		}
		return g.opened == p.n
	}
	done, err := l.pump(patience+time.Duration(p.n)*each, fill)
	if err == nil && !done {
		err = fmt.Errorf("only %d of %d subscribers of %s could be opened", g.opened, p.n, name)
	}
	return g, err
}

func (g *group) open(i int) error {
	family, address := unix.AF_INET, unix.Sockaddr(nil)
	to := g.plan.of(i).address
	if ip := to.IP.To4(); ip != nil {
		address = &unix.SockaddrInet4{Port: to.Port, Addr: [4]byte(ip)}
	} else {
		family = unix.AF_INET6
		address = &unix.SockaddrInet6{Port: to.Port, Addr: [16]byte(to.IP.To16())}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	c := &conn{fd: fd, group: g, index: i, stream: g.plan.stream(i), decoder: newDecoder(g.plan.protocol())}
	c.check.next = g.plan.next(i)
	for len(g.load.conns) <= fd {
		g.load.conns = append(g.load.conns, nil)
	}
	g.load.conns[fd] = c
	g.conns = append(g.conns, c)
	if g.plan.receiveBuffer > 0 {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, g.plan.receiveBuffer)
	}
	if g.plan.spread {
		// Without this option, bind reserves a port for this connection alone, and ports run out earlier.
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
		if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: sourceAddress(i).As4()}); err != nil {
			return err
		}
	}
	if err := unix.Connect(fd, address); err != nil && err != unix.EINPROGRESS {
		return err
	}
	return g.load.epollCtl(c, unix.EPOLL_CTL_ADD, unix.EPOLLOUT)
}

// close closes all connections of the group that are still open.
func (g *group) close() {
	for _, c := range g.conns {
		if g.load.conns[c.fd] == c {
			g.load.drop(c)
		}
	}
}

// countLost adds the number of published events that have not arrived to the count of lost events. The
// function heads returns how many events were published to a stream.
func (g *group) countLost(heads func(stream uint32) uint32) {
	for _, c := range g.conns {
		head := heads(c.stream)
		before := c.check.next
		c.check.accountMissing(head, &g.tally)
		if head > before {
			g.advanced += int64(head - before)
			c.check.missing = append(c.check.missing, span{before, head})
			c.check.next = head
		}
	}
}

// conn is one subscriber.
type conn struct {
	fd          int
	group       *group
	index       int
	stream      uint32
	requestSent bool
	isOpen      bool
	decoder     decoder
	tls         *tls.Conn // nil: plain TCP
	check       checker
	err         error
}

// sendRequest sends the request after the connection has been established, unless it was sent before.
func (c *conn) sendRequest() error {
	if c.requestSent {
		return nil
	}
	if code, err := unix.GetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_ERROR); err != nil || code != 0 {
		return cmpErr(err, unix.Errno(code))
	}
	c.requestSent = true
	if config := c.group.plan.tls; config != nil {
		if err := c.startTLS(config); err != nil {
			return err
		}
	}
	if err := c.send(c.request()); err != nil {
		return err
	}
	return c.group.load.epollCtl(c, unix.EPOLL_CTL_MOD, unix.EPOLLIN)
}

func cmpErr(err error, code unix.Errno) error {
	if err != nil {
		return err
	}
	return code
}

// send writes p, which must fit into the send buffer of the socket. The buffer is empty, because the
// connection sends nothing until the previous request is answered.
func (c *conn) send(p []byte) error {
	if c.tls != nil {
		_, err := c.tls.Write(p)
		return err
	}
	_, err := descriptor(c.fd).Write(p)
	return err
}

func (c *conn) request() []byte {
	p := &c.group.plan
	path, extra := "/sse", "Accept: text/event-stream\r\n"
	switch p.transport {
	case WebSocket:
		path = "/ws"
		extra = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dHJpdml1bSBiZW5jaCEhIQ==\r\n"
	case LongPoll:
		if p.cursor == "" {
			return c.poll("&wait=0")
		}
		return c.poll("&wait=60&cursor=" + p.cursor)
	}
	query := "?topic=" + p.topic(c.index)
	if p.cursor != "" {
		query += "&cursor=" + p.cursor
	}
	to := p.of(c.index)
	if p.protocol() == HTTP2 {
		return h2Request(secureHost, path+query, to.token)
	}
	return fmt.Appendf(nil, "GET %s%s HTTP/1.1\r\nHost: %s\r\n%s%s\r\n", path, query, to.host, to.authorization(), extra)
}

func (c *conn) poll(query string) []byte {
	p := &c.group.plan
	to := p.of(c.index)
	return fmt.Appendf(nil, "GET /poll?topic=%s%s HTTP/1.1\r\nHost: %s\r\n%s\r\n", p.topic(c.index), query, to.host, to.authorization())
}

// handle processes a decoded message.
func (c *conn) handle(m message) {
	g := c.group
	switch m.kind {
	case kindOpen:
		c.opened()
	case kindAnswer:
		c.opened()
		c.err = c.send(c.poll("&wait=60&cursor=" + string(m.id)))
	case kindEvent:
		c.event(m)
	case kindGap:
		g.gaps++
	case kindEnd:
		c.err = fmt.Errorf("the hub ended the subscription: %q", m.data)
	case kindReply:
		c.err = c.send(m.data)
	case kindPing:
		// A masking key of zeros leaves the bytes of the pong unchanged.
		c.err = c.send(append([]byte{0x8a, 0x80 | byte(len(m.data)), 0, 0, 0, 0}, m.data...))
	}
}

func (c *conn) opened() {
	if !c.isOpen {
		c.isOpen = true
		c.group.opened++
	}
}

func (c *conn) event(m message) {
	g := c.group
	s, ok := parseStamp(m.data)
	if !ok || s.stream != c.stream {
		g.advanced += c.check.accountCorrupt(&g.tally)
		return
	}
	g.advanced += c.check.account(s.seq, &g.tally)
	g.lastID, g.lastSeq = append(g.lastID[:0], m.id...), s.seq
	if g.latency != nil {
		_ = g.latency.RecordValue(min(max(g.load.now-s.sent, 1), maxLatency)) // cannot fail for a value from 1 to maxLatency
	}
}
