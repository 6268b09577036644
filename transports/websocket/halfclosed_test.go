package websocket_test

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub"
	tt "github.com/trivium-hub/trivium/transports/internal/transporttest"
	"github.com/trivium-hub/trivium/transports/internal/wire"
)

// heldEngine is an engine whose Publish blocks until release is closed.
type heldEngine struct {
	release chan struct{}

	mu      sync.Mutex
	deliver func([]*hub.Event)
	last    hub.Cursor
}

func (e *heldEngine) Start(deliver func([]*hub.Event)) (hub.Cursor, error) {
	e.deliver, e.last = deliver, hub.Cursor{Epoch: 1}
	return e.last, nil
}

func (e *heldEngine) Publish(_ context.Context, events []*hub.Event) (hub.Cursor, error) {
	<-e.release
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, event := range events {
		e.last.Seq++
		event.ID, event.Time = e.last, time.Now().UTC()
	}
	e.deliver(events)
	return e.last, nil
}

func (e *heldEngine) Close() error { return nil }

// A heartbeat does not check whether the peer has closed the connection; only the goroutine that reads
// does. Therefore a peer that has closed only its write side still receives the answers to its earlier
// commands.
func TestHeartbeatLeavesPeerCloseToReader(t *testing.T) {
	t.Parallel()
	engine := &heldEngine{release: make(chan struct{})}
	release := sync.OnceFunc(func() { close(engine.release) })
	s := tt.Start(t, tt.Config{Hub: hub.Config{Engine: engine}, Heartbeat: 10 * time.Millisecond})
	t.Cleanup(release)
	// The command arrives together with the handshake, so it is executed before the connection is
	// watched for input.
	c, err := s.DialSocket(tt.Query("subscribe", "none"), nil, tt.AppendFrame(nil, text, []byte(publishing)))
	require.NoError(t, err)
	defer c.Close()
	require.Equal(t, wire.OpHello, message(t, c).Op)
	require.NoError(t, c.Conn.(*net.TCPConn).CloseWrite())
	for range 20 { // the last heartbeats are then sent after the end of the input has arrived at the hub
		require.Equal(t, wire.OpHeartbeat, message(t, c).Op)
	}
	release()
	m := message(t, c)
	for m.Op == wire.OpHeartbeat {
		m = message(t, c)
	}
	require.Equal(t, wire.OpAck, m.Op)
	for err == nil { // further heartbeats may arrive before the end
		_, err = c.Message()
	}
	require.ErrorIs(t, err, io.EOF)
}
