package bench

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A relay forwards all bytes in order and delays both directions. When the client closes its connection, the relay closes
// the connection to the server.
func TestRelayDelaysBothDirections(t *testing.T) {
	const delay = 30 * time.Millisecond
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	echoed := make(chan error, 1)
	go func() {
		conn, err := listener.Accept()
		if err == nil {
			_, err = io.Copy(conn, conn)
			conn.Close()
		}
		echoed <- err
	}()
	r, err := startRelay(listener.Addr().String(), delay)
	require.NoError(t, err)
	defer r.close()
	conn, err := net.Dial("tcp", r.address())
	require.NoError(t, err)
	defer conn.Close()
	text := strings.Repeat("0123456789", 100_000)
	begin := time.Now()
	wrote := make(chan error, 1)
	go func() {
		_, err := io.WriteString(conn, text)
		wrote <- err
	}()
	first := make([]byte, 1)
	_, err = io.ReadFull(conn, first)
	require.NoError(t, err)
	require.GreaterOrEqual(t, time.Since(begin), 2*delay)
	rest := make([]byte, len(text)-1)
	_, err = io.ReadFull(conn, rest)
	require.NoError(t, err)
	require.True(t, text == string(first)+string(rest))
	require.NoError(t, <-wrote)
	require.NoError(t, conn.Close())
	<-echoed // the relay has closed the connection to the server
}

// The method close of a relay also closes its open connections.
func TestRelayCloseEndsConnections(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	r, err := startRelay(listener.Addr().String(), time.Millisecond)
	require.NoError(t, err)
	conn, err := net.Dial("tcp", r.address())
	require.NoError(t, err)
	defer conn.Close()
	server, err := listener.Accept()
	require.NoError(t, err)
	defer server.Close()
	r.close()
	_, err = conn.Read(make([]byte, 1))
	require.Error(t, err)
}
