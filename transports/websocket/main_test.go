package websocket_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub/testkit"
	tt "github.com/trivium-hub/trivium/transports/internal/transporttest"
	"github.com/trivium-hub/trivium/transports/internal/wire"
)

func TestMain(m *testing.M) {
	tt.SetParallelism()
	testkit.Main(m)
}

// dial opens a WebSocket connection and reads the hello message.
func dial(t *testing.T, s *tt.Server, query ...string) *tt.Socket {
	t.Helper()
	c, err := s.DialSocket(tt.Query(query...), nil, nil)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	require.Equal(t, wire.OpHello, message(t, c).Op)
	return c
}

func message(t *testing.T, c *tt.Socket) wire.Message {
	t.Helper()
	m, err := c.Message()
	require.NoError(t, err)
	return m
}

// exchange sends a command and returns the next message, which is the answer if no events are published.
func exchange(t *testing.T, c *tt.Socket, command string) wire.Message {
	t.Helper()
	require.NoError(t, c.SendText(command))
	return message(t, c)
}

// requireClosed requires a close frame with the given code, answers it, and requires that the hub then
// closes the connection. It returns the reason in the close frame.
func requireClosed(t *testing.T, c *tt.Socket, code int) string {
	t.Helper()
	reason := requireCode(t, c, code)
	require.NoError(t, c.Send(closing, ""))
	requireEnd(t, c)
	return reason
}

// requireCode requires a close frame with the given code and returns its reason. It does not answer the
// frame, for tests in which the client has already sent a close frame: the hub then closes the connection
// at once, and further data would make it reset the connection.
func requireCode(t *testing.T, c *tt.Socket, code int) (reason string) {
	t.Helper()
	_, err := c.Message()
	var ended *tt.Ended
	require.ErrorAs(t, err, &ended)
	require.Equal(t, code, ended.Code, "%v", ended)
	return ended.Reason
}

// requireEnd requires that the hub closes the connection before the client does (RFC 6455, section 7.1.1),
// and without a reset, which could discard data that the client has not read.
func requireEnd(t *testing.T, c *tt.Socket) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(tt.Patience)) // fails on a pipe that the server has closed
	n, err := c.Conn.Read(make([]byte, 1))
	require.Zero(t, n)
	require.EqualError(t, err, "EOF")
}

func of(n int) string { return strings.Repeat("a", n) }
