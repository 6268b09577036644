package udp

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub"
)

func TestQueuedEventsArePublishedAtShutdown(t *testing.T) {
	synctest.Test(t, testQueuedEventsArePublishedAtShutdown)
}

// The test runs on a fake clock, so flushTimeout cannot expire before the test closes the channel release.
func testQueuedEventsArePublishedAtShutdown(t *testing.T) {
	entered, release := make(chan struct{}, 3), make(chan struct{})
	r := start(t, listen(t, Config{Publish: func(ctx context.Context, _ ...*hub.Event) (hub.Cursor, error) {
		entered <- struct{}{}
		select {
		case <-release:
			return hub.Cursor{}, nil
		case <-ctx.Done():
			return hub.Cursor{}, ctx.Err()
		}
	}}))
	r.send(t, "1")
	<-entered
	r.send(t, "2\n3")
	for r.Stats().Datagrams < 2 {
		runtime.Gosched() // not a sleep, because the fake clock does not advance while the source reads its socket
	}
	go close(release)
	r.stop()
	require.Equal(t, uint64(3), r.Stats().Events)
	require.Zero(t, sum(r.Stats().Dropped))
}

func TestUnavailableEngineDoesNotDelayShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		entered := make(chan struct{}, 2)
		r := start(t, listen(t, Config{Publish: func(ctx context.Context, _ ...*hub.Event) (hub.Cursor, error) {
			entered <- struct{}{}
			<-ctx.Done()
			return hub.Cursor{}, ctx.Err()
		}}))
		r.send(t, "1")
		<-entered
		began := time.Now()
		r.stop()
		require.Equal(t, flushTimeout, time.Since(began))
		require.Equal(t, uint64(1), r.Stats().Dropped["engine"])
	})
}
