//go:build !js

package client_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/transports/client"
)

// sendsMessages is a server that sends the messages on a WebSocket and then only reads.
func sendsMessages(messages ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer conn.CloseNow()
		for _, m := range messages {
			if conn.Write(r.Context(), websocket.MessageText, []byte(m)) != nil {
				return
			}
		}
		for err == nil {
			_, _, err = conn.Read(r.Context())
		}
	}
}

// TestSecondOpeningMessage checks that a stream with two opening messages is not counted as two
// connections and triggers no probe.
func TestSecondOpeningMessage(t *testing.T) {
	const hello = `{"op":"hello","id":"00000001-1","heartbeat_ms":15000}`
	open := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = w.Write([]byte(strings.Repeat("event: trivium.open\nid: 00000001-1\ndata:\n\n", 2)))
		_ = http.NewResponseController(w).Flush()
		hang(w, r)
	}
	for tr, server := range map[client.Transport]http.HandlerFunc{
		client.WebSocket: sendsMessages(hello, hello),
		client.SSE:       open,
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, rigConfig{Memory: true})
			r.proxyAll(server)
			c := r.client(client.Config{Transport: tr})
			state := r.await(c, isPhase(client.Waiting))
			require.ErrorContains(t, state.Reason, "sent its opening message twice")
			require.EqualValues(t, 1, c.Stats().Connects)
		})
	}
}

// TestHugeHeartbeatInterval checks that a huge heartbeat interval does not make the silence limit
// overflow.
func TestHugeHeartbeatInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, rigConfig{Memory: true})
		r.proxy("/ws", sendsMessages(`{"op":"hello","id":"00000001-1","heartbeat_ms":2000000000000}`))
		c := r.client(client.Config{Transport: client.WebSocket})
		time.Sleep(time.Hour)
		require.EqualValues(t, 1, c.Stats().Connects)
		require.Equal(t, client.Live, c.State().Phase)
	})
}

// TestUnexpectedAcks checks that acknowledgements and errors for commands that the client has not
// sent have no effect.
func TestUnexpectedAcks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, rigConfig{Memory: true})
		auths := 0
		r.proxy("/ws", func(w http.ResponseWriter, request *http.Request) {
			conn, err := websocket.Accept(w, request, nil)
			if err != nil {
				return
			}
			defer conn.CloseNow()
			for _, m := range []string{
				`{"op":"hello","id":"00000001-1","heartbeat_ms":0}`,
				`{"op":"ack","id":"00000001-1"}`, `{"op":"ack","ref":"","id":"00000001-1"}`, `{"op":"ack","ref":7,"id":"00000001-1"}`,
				`{"op":"error","ref":8,"status":403,"code":"forbidden","title":"no"}`,
			} {
				require.NoError(t, conn.Write(request.Context(), websocket.MessageText, []byte(m)))
			}
			for {
				_, text, err := conn.Read(request.Context())
				if err != nil {
					return
				}
				auths += strings.Count(string(text), `"op":"auth"`)
			}
		})
		c := r.client(client.Config{Transport: client.WebSocket, Token: client.StaticToken("sesame-open")})
		r.await(c, isPhase(client.Live))
		synctest.Wait()
		require.Zero(t, auths)
		require.EqualValues(t, 1, c.Stats().Connects)
		require.Equal(t, client.Live, c.State().Phase)
	})
}
