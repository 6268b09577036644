package server

import (
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports"
)

// TestCloseAtOnceKeepsDescriptor checks that closeAtOnce shuts down a connection in both directions, but
// does not close its descriptor, because a transport that has hijacked the connection may still write to
// the descriptor.
func TestCloseAtOnceKeepsDescriptor(t *testing.T) {
	h, err := hub.New(hub.Config{})
	require.NoError(t, err)
	defer h.Close()
	api, err := transports.New(transports.Config{Hub: h})
	require.NoError(t, err)
	defer api.Close()
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	listener := api.Listener(socket)
	defer listener.Close()
	peer, err := net.Dial("tcp", socket.Addr().String())
	require.NoError(t, err)
	defer peer.Close()
	conn, err := listener.Accept()
	require.NoError(t, err)
	defer conn.Close()

	read := make(chan error, 1)
	go func() {
		_, err := conn.Read(make([]byte, 1))
		read <- err
	}()
	closeAtOnce(conn)
	require.Equal(t, io.EOF, <-read, "the read ends with EOF and not with net.ErrClosed, because the descriptor is still open")
	_, err = peer.Read(make([]byte, 1))
	require.Equal(t, io.EOF, err)
	_, err = conn.Write([]byte("x"))
	require.Error(t, err)
	require.NotErrorIs(t, err, net.ErrClosed)
}
