package websocket_test

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	tt "github.com/trivium-hub/trivium/transports/internal/transporttest"
	"github.com/trivium-hub/trivium/transports/internal/wire"
)

// Commands may arrive together with the handshake request, in the same TLS record or in the following
// records. The hub executes all of them, even those that crypto/tls has received before the hub watches
// the connection for input.
func TestEarlyCommandsOverTLS(t *testing.T) {
	s := tt.Start(t, tt.Config{TLS: true, MessageRate: 1e6})
	for _, n := range []int{1, 3, 30, 1000} {
		var early []byte
		for i := range n {
			early = tt.AppendFrame(early, text, []byte(`{"op":"ping","ref":`+strconv.Itoa(i)+`}`))
		}
		c, err := s.DialSocket(tt.Query("subscribe", "none"), nil, early)
		require.NoError(t, err)
		defer c.Close()
		require.Equal(t, wire.OpHello, message(t, c).Op)
		for i := range n {
			require.Equal(t, strconv.Itoa(i), string(message(t, c).Ref))
		}
	}
}

// A TLS record may contain several commands, and a command may be divided among several records.
func TestCommandsInRecords(t *testing.T) {
	s := tt.Start(t, tt.Config{TLS: true, MessageRate: 1e6})
	c := dial(t, s, "subscribe", "none")
	ping := func(ref int) []byte {
		return tt.AppendFrame(nil, text, []byte(`{"op":"ping","ref":`+strconv.Itoa(ref)+`}`))
	}
	_, err := c.Write(append(append(ping(0), ping(1)...), ping(2)...))
	require.NoError(t, err)
	for _, b := range ping(3) {
		_, err := c.Write([]byte{b}) // sends a record with one byte of data
		require.NoError(t, err)
	}
	for i := range 4 {
		require.Equal(t, strconv.Itoa(i), string(message(t, c).Ref))
	}
}
