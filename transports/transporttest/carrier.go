package transporttest

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"time"
)

// carrier sends requests over one connection. Its deadline is Patience from the last call of get
// or patience on.
type carrier interface {
	get(path string, ask Ask) (*http.Response, error)
	patience()
	cut()
}

// smallBuffer is what a slow client lets the kernel receive for it, in bytes.
const smallBuffer = 4 << 10

// smallWindow is the least that HTTP/2 may have for flow control, in bytes.
const smallWindow = 64 << 10

// Dial connects as the ask says.
func (s *Server) Dial(ask Ask) (net.Conn, error) {
	var d net.Dialer
	if ask.Slow {
		// Before the handshake, for it is then that the window is told.
		d.Control = func(_, _ string, c syscall.RawConn) (err error) {
			if failed := c.Control(func(fd uintptr) { err = setReceiveBuffer(fd, smallBuffer) }); failed != nil {
				return failed
			}
			return err
		}
	}
	conn, err := d.Dial("tcp", s.Addr)
	if err != nil {
		return nil, err
	}
	if ask.CutAfter > 0 {
		conn = &frail{Conn: conn, left: ask.CutAfter}
	}
	return conn, nil
}

// frail is a connection that is lost after some bytes.
type frail struct {
	net.Conn
	left int64
}

func (c *frail) Read(p []byte) (int, error) {
	if c.left == 0 {
		c.Conn.Close()
		return 0, io.ErrUnexpectedEOF
	}
	n, err := c.Conn.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	return n, err
}

// raw is HTTP/1 spelt by hand.
type raw struct {
	server *Server
	proto  string
	conn   net.Conn
	reader *bufio.Reader
}

func (s *Server) raw(proto string) *raw { return &raw{server: s, proto: proto} }

func (c *raw) get(path string, ask Ask) (*http.Response, error) {
	if c.conn == nil {
		conn, err := c.server.Dial(ask)
		if err != nil {
			return nil, err
		}
		c.conn, c.reader = conn, bufio.NewReader(conn)
	}
	c.patience()
	request := fmt.Appendf(nil, "GET %s?%s %s\r\nHost: %s\r\n", path, ask.Query.Encode(), c.proto, c.server.Addr)
	for name, values := range ask.header() {
		request = fmt.Appendf(request, "%s: %s\r\n", name, values[0])
	}
	if _, err := c.conn.Write(append(request, "\r\n"...)); err != nil {
		return nil, err
	}
	return http.ReadResponse(c.reader, nil)
}

// A connection that is closed already says so at the next read.
func (c *raw) patience() { _ = c.conn.SetDeadline(time.Now().Add(Patience)) }

func (c *raw) cut() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

// multiplexed is HTTP/2, which net/http speaks.
type multiplexed struct {
	server    *Server
	transport *http.Transport
	cancel    context.CancelFunc
	timer     *time.Timer
}

func (c *multiplexed) get(path string, ask Ask) (*http.Response, error) {
	if c.transport == nil {
		c.transport = &http.Transport{
			ForceAttemptHTTP2: true,
			TLSClientConfig:   &tls.Config{RootCAs: c.server.roots},
			DialContext:       func(context.Context, string, string) (net.Conn, error) { return c.server.Dial(ask) },
		}
		if ask.Slow {
			c.transport.HTTP2 = &http.HTTP2Config{MaxReceiveBufferPerStream: smallWindow, MaxReceiveBufferPerConnection: smallWindow}
		}
	}
	c.stop()
	var ctx context.Context
	ctx, c.cancel = context.WithCancel(context.Background())
	c.timer = time.AfterFunc(Patience, c.cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+c.server.Addr+path+"?"+ask.Query.Encode(), nil)
	if err != nil {
		return nil, err
	}
	r.Header = ask.header()
	response, err := c.transport.RoundTrip(r)
	if err == nil && response.ProtoMajor != 2 {
		response.Body.Close()
		return nil, fmt.Errorf("HTTP/2 is expected, got %s", response.Proto)
	}
	return response, err
}

func (c *multiplexed) patience() { c.timer.Reset(Patience) }

func (c *multiplexed) stop() {
	if c.cancel != nil {
		c.timer.Stop()
		c.cancel()
	}
}

func (c *multiplexed) cut() {
	c.stop()
	if c.transport != nil {
		c.transport.CloseIdleConnections()
		c.transport = nil
	}
}
