package server

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// peerConn is a fake connection from an address. It records whether it was closed.
type peerConn struct {
	net.Conn
	address net.TCPAddr
	closed  bool
}

func (c *peerConn) RemoteAddr() net.Addr { return &c.address }
func (c *peerConn) Close() error         { c.closed = true; return nil }

// connect passes a new connection to o as net/http does. It returns the connection and its context.
func connect(o *openConnections, address string) (*peerConn, context.Context) {
	conn := &peerConn{address: net.TCPAddr{IP: net.ParseIP(address), Port: 1}}
	ctx := o.connContext(context.Background(), conn)
	o.connState(conn, http.StateNew)
	return conn, ctx
}

// ask makes the same calls to o that net/http makes for one request. If the parameter token is true, the
// request is authorized.
func ask(o *openConnections, conn *peerConn, ctx context.Context, token bool) {
	o.connState(conn, http.StateActive)
	if token {
		r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil)
		o.trackServing(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(httptest.NewRecorder(), r)
	}
	o.connState(conn, http.StateIdle)
}

// workOn starts an authorized request, which does not end, and returns the record of its connection.
func workOn(o *openConnections, conn *peerConn, ctx context.Context, sender string) *openConn {
	o.connState(conn, http.StateActive)
	c := o.connOf(ctx)
	o.beginServing(c, sender)
	return c
}

func discardLog() *slog.Logger { return slog.New(slog.DiscardHandler) }

// When the number of connections reaches nine tenths of the limit, the hub closes one connection for
// each new one: first idle connections that had no token, then idle connections that had a token, then
// connections whose first request is incomplete.
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

// If all connections are serving requests, the hub closes a new connection that exceeds the limit.
func TestBusyConnectionsStayOpen(t *testing.T) {
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

// If no connection is idle, the hub closes a connection whose request body is incomplete. It chooses a
// connection of the sender that has the largest number of such connections. It never closes a connection on
// which it serves a complete, authorized request.
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
	o.addReceiving(c, -1) // part of the body has arrived
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

// A connection may be closed if its request was answered and net/http only reads the rest of the
// request's body. An HTTP/2 connection must stay open while another request on it is being served.
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

// The number of connections from one address is limited. Connections on which a request had a token are
// not counted.
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

// After a connection was closed or hijacked, openConnections keeps no data about it.
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

// failingListener is a listener whose Accept returns the given errors, one per call.
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

// Errors of Accept are logged at the level ERROR, at most once per interval. All errors are counted.
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
		require.Equal(t, 1, strings.Count(log.String(), "level=ERROR msg=\"cannot accept a connection\""))
		time.Sleep(logAcceptEvery)
	})
}

// A panic of a handler is logged at the level ERROR with its stack, at most once per interval. All
// panics except http.ErrAbortHandler are counted.
func TestPanicsAreLogged(t *testing.T) {
	var log bytes.Buffer
	s := &Server{log: slog.New(slog.NewJSONHandler(&log, nil))}
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
