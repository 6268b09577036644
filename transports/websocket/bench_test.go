package websocket_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	tt "github.com/trivium-hub/trivium/transports/internal/transporttest"
	"github.com/trivium-hub/trivium/transports/internal/wire"
)

// BenchmarkMessage sends a command of 200 bytes over a TCP connection and reads its acknowledgment. Client
// and hub run in this process.
func BenchmarkMessage(b *testing.B) {
	s := tt.Start(b, tt.Config{MessageRate: 1e9})
	c, err := s.DialSocket(tt.Query(), nil, nil)
	require.NoError(b, err)
	defer c.Close()
	head, tail := `{"op":"ping","ref":2,"pad":"`, `"}`
	command := []byte(frame(text, head+of(200-len(head)-len(tail))+tail))
	_, err = c.Message() // the hello message
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		_, err := c.Write(command)
		require.NoError(b, err)
		m, err := c.Message()
		require.NoError(b, err)
		require.Equal(b, wire.OpAck, m.Op)
	}
}
