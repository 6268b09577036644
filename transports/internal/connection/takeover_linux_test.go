package connection

import (
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// tcpPair returns both ends of a TCP connection that a Listener has accepted.
func tcpPair(t *testing.T) (server *progressConn, client net.Conn) {
	l := listen(t, false)
	client, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	accepted, err := l.Accept()
	require.NoError(t, err)
	t.Cleanup(func() {
		client.Close()
		accepted.Close()
	})
	require.NoError(t, client.SetDeadline(time.Now().Add(time.Minute)))
	return accepted.(*progressConn), client
}

// descriptorOf returns the number of the connection's file descriptor.
func descriptorOf(t *testing.T, c Duplex) (number int) {
	require.NoError(t, c.(pollable).control(func(fd uintptr) { number = int(fd) }))
	return number
}

// NewConn takes the socket over from package net. The descriptor keeps its number, because the hub
// derives its number of open files from the lowest free descriptor number.
func TestTakeOverKeepsNumber(t *testing.T) {
	same := false
	for range 10 { // the number may change if the runtime opens a file at the same time
		server, client := tcpPair(t)
		before := descriptorOf(t, server.direct)
		c := NewConn(server, time.Minute)
		require.IsType(t, &descriptor{}, c)
		_, err := server.Conn.Write([]byte("x"))
		require.ErrorIs(t, err, net.ErrClosed)
		same = same || descriptorOf(t, c) == before
		n, err := c.TryWrite([]byte("hello"))
		require.NoError(t, err)
		require.Equal(t, 5, n)
		c.Close()
		c.Close()
		got, err := io.ReadAll(client)
		require.NoError(t, err)
		require.Equal(t, "hello", string(got))
	}
	require.True(t, same)
}

// If the process can open no more files, NewConn uses the socket of package net.
func TestTakeOverWithoutDescriptors(t *testing.T) {
	server, client := tcpPair(t)
	fillDescriptors(t)
	c := NewConn(server, time.Minute)
	require.IsType(t, &direct{}, c)
	n, err := c.TryWrite([]byte("hello"))
	require.NoError(t, err)
	require.Equal(t, 5, n)
	c.Close()
	got, err := io.ReadAll(client)
	require.NoError(t, err)
	require.Equal(t, "hello", string(got))
}

// fillDescriptors opens so many files that the process can open no more until the end of the test.
func fillDescriptors(t *testing.T) {
	var limit unix.Rlimit
	require.NoError(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	lower := limit
	files, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	lower.Cur = uint64(len(files)) + 10
	require.NoError(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &lower))
	t.Cleanup(func() { require.NoError(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)) })
	for {
		fd, err := unix.Open("/dev/null", unix.O_CLOEXEC, 0)
		if err != nil {
			require.ErrorIs(t, err, unix.EMFILE)
			return
		}
		t.Cleanup(func() { unix.Close(fd) })
	}
}

// An embedding program may still have the net.Conn that its listener accepted. Closing that net.Conn
// ends the stream, but leaves the descriptor open for its new owner. Otherwise another connection could
// get the descriptor's number while the owner still writes.
func TestProgramClosesTakenConnection(t *testing.T) {
	server, client := tcpPair(t)
	c := NewConn(server, time.Minute)
	require.False(t, c.PeerClosed())
	require.NoError(t, server.Close())
	_, err := client.Read(make([]byte, 1))
	require.Equal(t, io.EOF, err)
	require.True(t, c.PeerClosed())
	_, err = c.TryWrite([]byte("x"))
	require.ErrorIs(t, err, unix.EPIPE)
	c.Close()
	require.ErrorIs(t, server.Close(), net.ErrClosed)
}

// If a connection that was taken over is closed, its blocked reads and writes return.
func TestCloseInterruptsTakenConnection(t *testing.T) {
	for name, block := range map[string]func(Duplex) error{
		"read": func(c Duplex) error {
			_, err := c.Read(make([]byte, 1))
			return err
		},
		"write": func(c Duplex) error { return c.Write(make([]byte, 64<<20), time.Minute) },
	} {
		t.Run(name, func(t *testing.T) {
			server, client := tcpPair(t)
			c := NewConn(server, time.Minute)
			_, err := client.Write([]byte("x"))
			require.NoError(t, err)
			n, err := c.Read(make([]byte, 2))
			require.NoError(t, err)
			require.Equal(t, 1, n)
			returned := make(chan error, 1)
			go func() { returned <- block(c) }()
			select {
			case err := <-returned:
				t.Fatalf("returned before the close: %v", err)
			case <-time.After(50 * time.Millisecond):
			}
			c.Close()
			require.Error(t, <-returned)
			require.ErrorIs(t, c.Write([]byte("x"), time.Minute), net.ErrClosed)
			_, err = c.Read(make([]byte, 1))
			require.ErrorIs(t, err, net.ErrClosed)
			require.ErrorIs(t, c.CloseWrite(), net.ErrClosed)
		})
	}
}
