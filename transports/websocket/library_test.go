package websocket_test

import (
	"context"
	"crypto/tls"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	library "github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	tt "github.com/trivium-hub/trivium/transports/internal/transporttest"
	"github.com/trivium-hub/trivium/transports/internal/wire"
)

// A client that uses github.com/coder/websocket publishes messages in several frames, receives its events,
// sends pings and closes the connection, with and without compression.
func TestLibrary(t *testing.T) {
	t.Parallel()
	for name, mode := range map[string]library.CompressionMode{
		"plain": library.CompressionDisabled, "compressed": library.CompressionNoContextTakeover,
		"context takeover": library.CompressionContextTakeover,
	} {
		for path, cfg := range map[string]tt.Config{"": {}, ", portable": {Portable: true}, ", TLS": {TLS: true}} {
			t.Run(name+path, func(t *testing.T) {
				t.Parallel()
				cfg.Compression, cfg.MessageRate = true, 1e6
				s := tt.Start(t, cfg)
				scheme, client := "ws://", http.DefaultClient
				if cfg.TLS {
					scheme, client = "wss://", &http.Client{Transport: &http.Transport{
						TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
					}}
				}
				ctx, cancel := context.WithTimeout(t.Context(), tt.Patience)
				defer cancel()
				dial := func() *library.Conn {
					c, _, err := library.Dial(ctx, scheme+s.Addr+"/ws", &library.DialOptions{
						CompressionMode: mode, CompressionThreshold: 1, HTTPClient: client,
					})
					require.NoError(t, err)
					t.Cleanup(func() { _ = c.CloseNow() })
					c.SetReadLimit(1 << 20)
					return c
				}
				c := dial()
				next := func() wire.Message {
					_, b, err := c.Read(ctx)
					require.NoError(t, err)
					m, err := wire.DecodeMessage(b)
					require.NoError(t, err)
					return m
				}
				require.Equal(t, wire.OpHello, next().Op)
				for range 100 {
					data := `"` + strings.Repeat("日本", rand.IntN(5000)) + `"`
					publishInParts(t, ctx, c, `{"op":"publish","topic":"t","data":`+data+`}`)
					event, ack := next(), next()
					if event.Op == wire.OpAck {
						event, ack = ack, event
					}
					require.Equal(t, wire.OpAck, ack.Op)
					require.Equal(t, data, string(event.Event.Data))
				}
				reading := c.CloseRead(ctx) // reads pongs in the background
				for range 10 {
					require.NoError(t, c.Ping(ctx))
				}
				err := c.Close(library.StatusNormalClosure, "done")
				<-reading.Done()
				for range 10 {
					if err == nil {
						break
					}
					t.Log("the library waited only five seconds for the echo of its close frame:", err)
					err = dial().Close(library.StatusNormalClosure, "done")
				}
				require.NoError(t, err, "the hub must echo the close frame")
			})
		}
	}
}

// publishInParts sends a message with several writes, so that it consists of several frames.
func publishInParts(t *testing.T, ctx context.Context, c *library.Conn, message string) {
	w, err := c.Writer(ctx, library.MessageText)
	require.NoError(t, err)
	for message != "" {
		n := 1 + rand.IntN(len(message))
		_, err := w.Write([]byte(message[:n]))
		require.NoError(t, err)
		message = message[n:]
	}
	require.NoError(t, w.Close())
}
