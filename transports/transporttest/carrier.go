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

// Dial connects as the ask says, by TCP alone.
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
	if ask.Hold != nil {
		conn = &held{Conn: conn, hold: ask.Hold}
	}
	return conn, nil
}

// secure is Dial, and TLS for HTTP/1.1 where the server wants it: as a browser does for WebSocket,
// it offers nothing else.
func (s *Server) secure(ask Ask) (net.Conn, error) {
	conn, err := s.Dial(ask)
	if err != nil || s.roots == nil {
		return conn, err
	}
	over := tls.Client(conn, &tls.Config{RootCAs: s.roots, ServerName: serverName, NextProtos: []string{"http/1.1"}})
	if err := conn.SetDeadline(time.Now().Add(Patience)); err != nil {
		conn.Close()
		return nil, err
	}
	if err := over.Handshake(); err != nil {
		conn.Close()
		return nil, err
	}
	if chosen := over.ConnectionState().NegotiatedProtocol; chosen != "http/1.1" {
		conn.Close()
		return nil, fmt.Errorf("the protocol is %q", chosen)
	}
	return over, nil
}

// serverName stands in httptest's certificate.
const serverName = "example.com"

// heldRead is what a held connection takes at once, in bytes.
const heldRead = 1 << 10

// held is a connection that reads when it is let.
type held struct {
	net.Conn
	hold func()
}

func (c *held) Read(p []byte) (int, error) {
	c.hold()
	return c.Conn.Read(p[:min(len(p), heldRead)])
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
		conn, err := c.server.secure(ask)
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

// multiplexed is HTTP/2, which net/http speaks: over TLS, or else with prior knowledge.
type multiplexed struct {
	server    *Server
	transport *http.Transport
	cancel    context.CancelFunc
	timer     *time.Timer
}

func (c *multiplexed) get(path string, ask Ask) (*http.Response, error) {
	if c.transport == nil {
		c.transport = &http.Transport{
			Protocols:       new(http.Protocols),
			TLSClientConfig: &tls.Config{RootCAs: c.server.roots, ServerName: serverName},
			DialContext:     func(context.Context, string, string) (net.Conn, error) { return c.server.Dial(ask) },
		}
		c.transport.Protocols.SetHTTP2(c.server.roots != nil)
		c.transport.Protocols.SetUnencryptedHTTP2(c.server.roots == nil)
		if ask.Slow {
			c.transport.HTTP2 = &http.HTTP2Config{MaxReceiveBufferPerStream: smallWindow, MaxReceiveBufferPerConnection: smallWindow}
		}
	}
	c.stop()
	var ctx context.Context
	ctx, c.cancel = context.WithCancel(context.Background())
	c.timer = time.AfterFunc(Patience, c.cancel)
	scheme := "https://"
	if c.server.roots == nil {
		scheme = "http://"
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+c.server.Addr+path+"?"+ask.Query.Encode(), nil)
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
