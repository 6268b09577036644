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

// carrier sends HTTP requests over one connection. get and extendDeadline set the connection's deadline
// to the current time plus Patience.
type carrier interface {
	get(path string, ask Request) (*http.Response, error)
	extendDeadline()
	cut()
}

// smallBuffer is the size of a slow client's receive buffer in the kernel, in bytes.
const smallBuffer = 4 << 10

// smallWindow is the size of a slow client's flow-control windows over HTTP/2, in bytes. It is the
// minimum that net/http allows.
const smallWindow = 64 << 10

// Dial opens a TCP connection to the server, and applies Slow, CutAfter and BeforeRead of the request.
func (s *Server) Dial(ask Request) (net.Conn, error) {
	var d net.Dialer
	if ask.Slow {
		// The buffer size is set before the TCP handshake, because the handshake announces the receive
		// window.
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
		conn = &cutConn{Conn: conn, left: ask.CutAfter}
	}
	if ask.BeforeRead != nil {
		conn = &throttledConn{Conn: conn, beforeRead: ask.BeforeRead}
	}
	return conn, nil
}

// dialTLS is like Dial, but uses TLS if the server does. It offers only the protocol HTTP/1.1, as
// browsers do for WebSockets.
func (s *Server) dialTLS(ask Request) (net.Conn, error) {
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
		return nil, fmt.Errorf("server chose the protocol %q, want http/1.1", chosen)
	}
	return over, nil
}

// serverName is the host name in the certificate of package httptest.
const serverName = "example.com"

// throttledRead is the maximum size of one read of a throttledConn, in bytes.
const throttledRead = 1 << 10

// throttledConn is a connection that calls a function before each read.
type throttledConn struct {
	net.Conn
	beforeRead func()
}

func (c *throttledConn) Read(p []byte) (int, error) {
	c.beforeRead()
	return c.Conn.Read(p[:min(len(p), throttledRead)])
}

// cutConn is a connection that closes itself after a number of received bytes.
type cutConn struct {
	net.Conn
	left int64 // number of bytes that can still be read
}

func (c *cutConn) Read(p []byte) (int, error) {
	if c.left == 0 {
		c.Conn.Close()
		return 0, io.ErrUnexpectedEOF
	}
	n, err := c.Conn.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	return n, err
}

// http1Carrier formats HTTP/1 requests itself instead of using net/http. proto is "HTTP/1.0" or
// "HTTP/1.1".
type http1Carrier struct {
	server *Server
	proto  string
	conn   net.Conn
	reader *bufio.Reader
}

func (s *Server) http1(proto string) *http1Carrier { return &http1Carrier{server: s, proto: proto} }

func (c *http1Carrier) get(path string, ask Request) (*http.Response, error) {
	if c.conn == nil {
		conn, err := c.server.dialTLS(ask)
		if err != nil {
			return nil, err
		}
		c.conn, c.reader = conn, bufio.NewReader(conn)
	}
	c.extendDeadline()
	request := fmt.Appendf(nil, "GET %s?%s %s\r\nHost: %s\r\n", path, ask.Query.Encode(), c.proto, c.server.Addr)
	for name, values := range ask.header() {
		request = fmt.Appendf(request, "%s: %s\r\n", name, values[0])
	}
	if _, err := c.conn.Write(append(request, "\r\n"...)); err != nil {
		return nil, err
	}
	return http.ReadResponse(c.reader, nil)
}

// extendDeadline ignores the error for a closed connection, because the next read fails too.
func (c *http1Carrier) extendDeadline() { _ = c.conn.SetDeadline(time.Now().Add(Patience)) }

func (c *http1Carrier) cut() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

// http2Carrier sends requests with net/http over HTTP/2: over TLS, or without TLS by prior knowledge.
type http2Carrier struct {
	server    *Server
	transport *http.Transport
	cancel    context.CancelFunc
	timer     *time.Timer
}

func (c *http2Carrier) get(path string, ask Request) (*http.Response, error) {
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
		return nil, fmt.Errorf("want an answer over HTTP/2, got %s", response.Proto)
	}
	return response, err
}

func (c *http2Carrier) extendDeadline() { c.timer.Reset(Patience) }

func (c *http2Carrier) stop() {
	if c.cancel != nil {
		c.timer.Stop()
		c.cancel()
	}
}

func (c *http2Carrier) cut() {
	c.stop()
	if c.transport != nil {
		c.transport.CloseIdleConnections()
		c.transport = nil
	}
}
