package websocket_test

import (
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	tt "github.com/trivium-hub/trivium/transports/internal/transporttest"
	"github.com/trivium-hub/trivium/transports/internal/wire"
)

// An idle connection has no goroutine, whether or not its client has sent a message before. The hub
// detects that a client closes its connection, even without heartbeats.
func TestIdle(t *testing.T) {
	for name, secure := range map[string]bool{"plain": false, "TLS": true} {
		t.Run(name, func(t *testing.T) { testIdle(t, tt.Config{TLS: secure}) })
	}
}

func testIdle(t *testing.T, cfg tt.Config) {
	s := tt.Start(t, cfg)
	dial(t, s).Close()
	const n = 100
	settled := func(limit int) {
		t.Helper()
		require.Eventually(t, func() bool { return runtime.NumGoroutine() <= limit }, tt.Patience, time.Millisecond)
	}
	before := runtime.NumGoroutine()
	var clients []*tt.Socket
	for range n {
		clients = append(clients, dial(t, s))
	}
	settled(before + n/10)
	for range 3 {
		for i, c := range clients {
			require.NoError(t, c.SendText(`{"op":"ping","ref":`+strconv.Itoa(i)+`}`))
		}
		for i, c := range clients {
			require.Equal(t, strconv.Itoa(i), string(message(t, c).Ref))
		}
		settled(before + n/10)
	}
	for _, c := range clients {
		c.Close()
	}
	require.Eventually(t, func() bool { return s.WebSocket.Connections.Load() == 0 }, tt.Patience, time.Millisecond)
}

// Several clients repeatedly open connections, send commands and close the connections, some while the hub
// still has unread input.
func TestConnectionsOpenAndClose(t *testing.T) {
	for name, secure := range map[string]bool{"plain": false, "TLS": true} {
		t.Run(name, func(t *testing.T) {
			openAndClose(t, tt.Start(t, tt.Config{Heartbeat: 20 * time.Millisecond, MessageRate: 1e6, TLS: secure}))
		})
	}
}

func openAndClose(t *testing.T, s *tt.Server) {
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 100 {
				c, err := s.DialSocket(tt.Query("subscribe", "none"), nil, nil)
				if err != nil {
					t.Errorf("dial: %v", err)
					return
				}
				ref := strconv.Itoa(i*1000 + j)
				for range 5 {
					m, err := wire.Message{}, c.SendText(`{"op":"ping","ref":`+ref+`}`)
					for err == nil && m.Op != wire.OpAck {
						m, err = c.Message()
					}
					if err != nil || string(m.Ref) != ref {
						t.Errorf("%v %v for %s", err, m, ref)
					}
				}
				switch j % 3 {
				case 1:
					_ = c.SendText(pingCommand)
				case 2:
					_ = c.Send(closing, "")
				}
				c.Close()
			}
		})
	}
	all.Wait()
	require.Eventually(t, func() bool { return s.WebSocket.Connections.Load() == 0 }, tt.Patience, time.Millisecond)
}
