package websocket_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub"
	tt "github.com/trivium-hub/trivium/transports/internal/transporttest"
	"github.com/trivium-hub/trivium/transports/internal/wire"
	"github.com/trivium-hub/trivium/transports/websocket"
)

// gatedEngine is an engine whose publishes block until gate is closed.
type gatedEngine struct {
	hub.Engine
	gate chan struct{}
}

func (e gatedEngine) Publish(ctx context.Context, events []*hub.Event) (hub.Cursor, error) {
	<-e.gate
	return e.Engine.Publish(ctx, events)
}

// If a publish command is being executed when the hub drains, the hub acknowledges it before it sends
// the goaway message. The hub does not execute later commands.
func TestPublishDuringDrainIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := gatedEngine{hub.NewMemory(), make(chan struct{})}
		s, end := assembleHub(t, hub.Config{Engine: engine}, websocket.Config{})
		defer end()
		c := tt.NewSocket(s.pipe())
		defer c.Close()
		require.Equal(t, wire.OpHello, message(t, c).Op)
		_, err := c.Write([]byte(frame(text, publishing) + frame(text, publishing))) // the hub reads both at once
		require.NoError(t, err)
		const window = time.Hour
		drained := make(chan struct{})
		go func() {
			defer close(drained)
			s.Registry.Drain(context.Background(), window)
		}()
		time.Sleep(window - time.Second) // if the goaway did not wait for the acknowledgment, it would have been sent by this time
		close(engine.gate)
		// The event, whose Op is empty, arrives before or after its acknowledgment.
		require.ElementsMatch(t, []string{"", wire.OpAck}, []string{message(t, c).Op, message(t, c).Op})
		require.Equal(t, wire.OpGoaway, message(t, c).Op)
		requireClosed(t, c, 1001)
		<-drained
		require.Equal(t, uint64(1), s.Hub.Position().Seq)
	})
}
