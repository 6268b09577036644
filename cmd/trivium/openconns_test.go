package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// peerConn is a connection from an address that only tells whether it was closed.
type peerConn struct {
	net.Conn
	address net.TCPAddr
	closed  bool
}

func (c *peerConn) RemoteAddr() net.Addr { return &c.address }
func (c *peerConn) Close() error         { c.closed = true; return nil }

// connect begins a connection as net/http does.
func connect(o *openConnections, address string) (*peerConn, context.Context) {
	conn := &peerConn{address: net.TCPAddr{IP: net.ParseIP(address), Port: 1}}
	ctx := o.connContext(context.Background(), conn)
	o.connState(conn, http.StateNew)
	return conn, ctx
}

// ask has a connection bring a request, with a token or without.
func ask(o *openConnections, conn *peerConn, ctx context.Context, token bool) {
	o.connState(conn, http.StateActive)
	if token {
		r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil)
		o.trackServing(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(httptest.NewRecorder(), r)
	}
	o.connState(conn, http.StateIdle)
}

// workOn has the hub work on a request with a token, and returns what is known of its connection.
func workOn(o *openConnections, conn *peerConn, ctx context.Context, sender string) *openConn {
	o.connState(conn, http.StateActive)
	c := ctx.Value(openConnKey{}).(*openConn)
	o.beginServing(c, sender)
	return c
}

func discardLog() *slog.Logger { return slog.New(slog.DiscardHandler) }

// TestOldestIdleConnectionIsClosed: at nine tenths of the limit, idle connections without a token
// go first, then those with one, then those whose first request is not complete.
func TestOldestIdleConnectionIsClosed(t *testing.T) {
	o := newOpenConnections(openLimits{total: 5}, nil, discardLog())
	known, ctx := connect(o, "192.0.2.1")
	ask(o, known, ctx, true)
	silent, _ := connect(o, "192.0.2.2")
	older, ctx := connect(o, "192.0.2.3")
	ask(o, older, ctx, false)
	younger, ctx := connect(o, "192.0.2.4")
	ask(o, younger, ctx, false)
	busy, ctx := connect(o, "192.0.2.5")
	workOn(o, busy, ctx, "token")
	for i, next := range []*peerConn{older, younger, known, silent} {
		require.False(t, next.closed)
		_, _ = connect(o, fmt.Sprintf("192.0.2.1%d", i))
		require.True(t, next.closed)
		o.connState(next, http.StateClosed)
	}
	require.False(t, busy.closed)
	require.Equal(t, openStats{open: 5, idleClosed: 3, slowClosed: 1}, o.stats())
}

// TestBusyConnectionsKeepTheirPlace: where no connection is idle, it is the new one that is closed.
func TestBusyConnectionsKeepTheirPlace(t *testing.T) {
	o := newOpenConnections(openLimits{total: 2}, nil, discardLog())
	for range 2 {
		conn, ctx := connect(o, "192.0.2.1")
		workOn(o, conn, ctx, "token")
	}
	late, _ := connect(o, "192.0.2.1")
	require.True(t, late.closed)
	o.connState(late, http.StateClosed)
	require.Equal(t, openStats{open: 2, refused: 1}, o.stats())
}

// TestUnfinishedRequestsMakeRoom: where no connection is idle, one whose request waits for its body is
// closed, of the sender with the most of them, and one on which the hub works is not.
func TestUnfinishedRequestsMakeRoom(t *testing.T) {
	o := newOpenConnections(openLimits{total: 4}, nil, discardLog())
	waiting := func(sender string) (*peerConn, *openConn) {
		conn, ctx := connect(o, "192.0.2.1")
		c := workOn(o, conn, ctx, sender)
		o.addReceiving(c, 1)
		return conn, c
	}
	one, _ := waiting("one")
	first, c := waiting("many")
	o.addReceiving(c, -1) // a part has come
	second, _ := waiting("many")
	o.addReceiving(c, 1)
	third, _ := waiting("many")
	for _, next := range []*peerConn{second, first} {
		require.False(t, next.closed)
		busy, ctx := connect(o, "192.0.2.2")
		workOn(o, busy, ctx, "busy")
		require.True(t, next.closed)
		o.connState(next, http.StateClosed)
	}
	require.False(t, one.closed || third.closed)
	require.Equal(t, openStats{open: 4, slowClosed: 2}, o.stats())
}

// TestUnreadBodyMakesRoom: a connection of which net/http still reads the body after the answer has no
// hub that works on it, and one over HTTP/2 with another request has.
func TestUnreadBodyMakesRoom(t *testing.T) {
	o := newOpenConnections(openLimits{total: 1}, nil, discardLog())
	conn, ctx := connect(o, "192.0.2.1")
	c := workOn(o, conn, ctx, "token")
	o.beginServing(c, "token")
	o.addReceiving(c, 1)
	require.Nil(t, c.element)
	o.addReceiving(c, -1)
	o.endServing(c, false)
	require.Nil(t, c.element)
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/", strings.NewReader("x"))
	o.endServing(c, false)
	o.trackServing(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { require.Nil(t, c.element) })).ServeHTTP(httptest.NewRecorder(), r)
	_, _ = connect(o, "192.0.2.2")
	require.True(t, conn.closed)
}

// TestAnonymousConnectionsOfOneAddressAreBounded: they are bounded, and connections on which a token came are not.
func TestAnonymousConnectionsOfOneAddressAreBounded(t *testing.T) {
	o := newOpenConnections(openLimits{total: 1000, anonymousPerAddress: 2}, nil, discardLog())
	for range 20 {
		conn, ctx := connect(o, "192.0.2.1")
		ask(o, conn, ctx, true)
	}
	first, ctx := connect(o, "192.0.2.1")
	ask(o, first, ctx, false)
	for range 2 {
		_, _ = connect(o, "192.0.2.1")
	}
	require.True(t, first.closed)
	o.connState(first, http.StateClosed)
	refused, _ := connect(o, "192.0.2.1")
	require.True(t, refused.closed)
	other, _ := connect(o, "192.0.2.2")
	require.False(t, other.closed)
	require.Equal(t, openStats{open: 24, idleClosed: 1, refusedAddress: 1}, o.stats())
}

// TestClosedConnectionsAreForgotten: nothing is left of connections that have ended.
func TestClosedConnectionsAreForgotten(t *testing.T) {
	o := newOpenConnections(openLimits{total: 10}, nil, discardLog())
	for i := range 100 {
		conn, ctx := connect(o, fmt.Sprintf("192.0.2.%d", i%7))
		if i%3 > 0 {
			ask(o, conn, ctx, i%3 == 1)
		}
		o.connState(conn, []http.ConnState{http.StateHijacked, http.StateClosed}[i%2])
	}
	require.Empty(t, o.conns)
	require.Empty(t, o.networks)
	require.Empty(t, o.senders)
	require.Zero(t, o.closing)
	for i := range o.waiting {
		require.Zero(t, o.waiting[i].Len())
	}
}

// failingListener fails for a while.
type failingListener struct {
	net.Listener
	errors []error
}

func (l *failingListener) Accept() (net.Conn, error) {
	err := l.errors[0]
	l.errors = l.errors[1:]
	return nil, err
}

func (l *failingListener) Addr() net.Addr { return &net.TCPAddr{} }

// TestAcceptErrorsAreLogged: at level ERROR, not each of them, and all are counted.
func TestAcceptErrorsAreLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		a := newAcceptor(&failingListener{errors: []error{io.EOF, io.EOF, io.EOF, net.ErrClosed}},
			newOpenConnections(openLimits{}, nil, discardLog()), 0, slog.New(slog.NewTextHandler(&log, nil)))
		for range 4 {
			_, err := a.Accept()
			require.Error(t, err)
		}
		require.Equal(t, uint64(3), a.errors.Load())
		require.Equal(t, 1, strings.Count(log.String(), "level=ERROR msg=\"a connection cannot be accepted\""))
		time.Sleep(logAcceptEvery)
	})
}

// TestPanicsAreLogged: at level ERROR with the stack, not each of them, and all are counted. One by which
// a handler ends its connection is no fault.
func TestPanicsAreLogged(t *testing.T) {
	var log bytes.Buffer
	s := &server{log: slog.New(slog.NewJSONHandler(&log, nil))}
	for _, cause := range []any{"a\nb", "again", http.ErrAbortHandler} {
		h := s.recoverPanics(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(cause) }))
		require.PanicsWithValue(t, http.ErrAbortHandler, func() {
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
		})
	}
	require.Equal(t, uint64(2), s.panics.Load())
	require.Contains(t, log.String(), `"level":"ERROR","msg":"a request handler panicked","panic":"a\\nb"`)
	require.Contains(t, log.String(), "openconns_test.go")
	require.NotContains(t, log.String(), "abort")
}

// TestLowLimitOfOpenFiles: the soft limit is raised to the hard one; where that is too low for
// --max-connections, the hub says so and lowers it.
func TestLowLimitOfOpenFiles(t *testing.T) {
	p := limitFiles(t, serve, 300, binary(t, anyPorts...))
	require.Contains(t, p.log(), `"max_connections":100000,"lowered_to":177`)
	raised := binary(t, append(anyPorts, "--max-connections", "1000")...)
	p = limitFiles(t, serve, 4096, raised)
	require.NotContains(t, p.log(), "lowered_to")
	if limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", p.cmd.Process.Pid)); err == nil {
		require.Regexp(t, `Max open files +409[56] +4096`, string(limits))
	}
}
