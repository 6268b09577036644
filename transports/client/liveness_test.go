//go:build !js

package client_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/client"
)

// TestDeadConnectionIsDetected checks that the client replaces a connection on which nothing arrives,
// although the connection was not closed.
func TestDeadConnectionIsDetected(t *testing.T) {
	bubble(t, func(t *testing.T, tr client.Transport) {
		r := newRig(t, rigConfig{Memory: true, Heartbeat: 15 * time.Second})
		c := r.client(client.Config{Transport: tr})
		read := r.reader(c)
		r.await(c, liveBy(tr))
		r.publish(0, 3, "a")
		read.numbers(0, 3)
		synctest.Wait() // if the client is between two polls, its next poll starts now
		r.freeze()
		begin := time.Now()
		r.publish(3, 3, "a")
		read.numbers(3, 3)
		require.InDelta(t, 42, time.Since(begin).Seconds(), 5) // the silence limit and a random wait
		require.EqualValues(t, 1, c.Stats().Reconnects)
	})
}

// TestHubWithoutHeartbeats checks that a connection to a hub without heartbeats stays open although
// nothing arrives, and that a dead connection is still detected.
func TestHubWithoutHeartbeats(t *testing.T) {
	bubble(t, func(t *testing.T, tr client.Transport) {
		r := newRig(t, rigConfig{Memory: true})
		c := r.client(client.Config{Transport: tr})
		read := r.reader(c)
		r.await(c, liveBy(tr))
		time.Sleep(time.Hour)
		most := uint64(1)
		if tr == client.SSE || tr == client.EventSource { // these transports cannot send a ping; the silence limit doubles up to 320 s
			most = 4 + 3600/320
		}
		require.LessOrEqual(t, c.Stats().Connects, most)
		require.Equal(t, client.Live, r.await(c, isPhase(client.Live)).Phase)

		synctest.Wait() // if the client is between two polls, its next poll starts now
		r.freeze()
		begin := time.Now()
		r.publish(0, 3, "a")
		read.numbers(0, 3)
		require.Less(t, time.Since(begin), 330*time.Second)
	})
}

// TestHeartbeatIntervalIsMeasured checks that the client measures the heartbeat interval from two
// heartbeats.
func TestHeartbeatIntervalIsMeasured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, rigConfig{Memory: true, Heartbeat: time.Minute})
		c := r.client(client.Config{Transport: client.SSE})
		read := r.reader(c)
		r.await(c, liveBy(client.SSE))
		time.Sleep(5 * time.Minute)
		learned := c.Stats().Connects
		require.LessOrEqual(t, learned, uint64(3))
		time.Sleep(time.Hour)
		require.Equal(t, learned, c.Stats().Connects)
		synctest.Wait() // if the client is between two polls, its next poll starts now
		r.freeze()
		begin := time.Now()
		r.publish(0, 3, "a")
		read.numbers(0, 3)
		require.Less(t, time.Since(begin), 160*time.Second) // 2.5 heartbeat intervals and a random wait
	})
}

// TestSlowMessageKeepsConnection checks that a connection is not considered dead while a message
// arrives slowly.
func TestSlowMessageKeepsConnection(t *testing.T) {
	for _, tr := range []client.Transport{client.SSE, client.LongPoll} {
		t.Run(tr.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, rigConfig{Memory: true, Heartbeat: 15 * time.Second})
				c := r.client(client.Config{Transport: tr})
				read := r.reader(c)
				r.await(c, liveBy(tr))
				r.slow(4<<10, 5*time.Second) // slower reading would exceed the hub's write timeout
				e := bigEvent(100 << 10)
				r.send(e)
				require.Equal(t, e.Data, read.next().Data)
				require.EqualValues(t, 1, c.Stats().Connects)
			})
		})
	}
}

// TestStalledProgramKeepsConnection checks that a connection is not considered dead while the
// program reads no events, and that no event is lost.
func TestStalledProgramKeepsConnection(t *testing.T) {
	bubble(t, func(t *testing.T, tr client.Transport) {
		r := newRig(t, rigConfig{Memory: true, Heartbeat: 15 * time.Second, Hub: hub.Config{Retention: hub.Retention{Age: 24 * time.Hour}}})
		c := r.client(client.Config{Transport: tr})
		read := r.reader(c)
		r.await(c, liveBy(tr))
		r.publish(0, 50, "a")
		read.numbers(0, 1)
		time.Sleep(time.Hour)
		require.EqualValues(t, 1, c.Stats().Connects)
		require.Equal(t, client.Live, c.State().Phase)
		r.publish(50, 50, "a")
		read.numbers(1, 99)
	})
}

// TestWakeUpReconnects checks that the client reconnects at a wake-up if it is waiting or its
// connection is probably dead.
func TestWakeUpReconnects(t *testing.T) {
	bubble(t, func(t *testing.T, tr client.Transport) {
		r := newRig(t, rigConfig{Memory: true, Heartbeat: 15 * time.Second})
		p := &waker{eventSourcer: eventSourcer{r.platform()}, wakes: make(chan client.Wake)}
		c := r.client(client.Config{Transport: tr, Platform: p})
		r.await(c, liveBy(tr))

		p.wakes <- client.WakeVisible // a connection that works is kept
		synctest.Wait()
		require.EqualValues(t, 1, c.Stats().Connects)

		p.wakes <- client.WakeNetwork
		synctest.Wait()
		require.EqualValues(t, 2, c.Stats().Connects)

		synctest.Wait() // if the client is between two polls, its next poll starts now
		r.freeze()
		time.Sleep(26 * time.Second)
		p.wakes <- client.WakeVisible // the connection has been silent for longer than a heartbeat interval or a poll
		synctest.Wait()
		require.EqualValues(t, 3, c.Stats().Connects)

		r.setUnreachable(true)
		for c.State().Wait < 2*time.Second {
			time.Sleep(time.Second / 2)
		}
		r.setUnreachable(false)
		begin := time.Now()
		p.wakes <- client.WakeVisible
		r.await(c, liveBy(tr))
		require.Zero(t, time.Since(begin))
		c.Close()
		require.True(t, p.stopped)
	})
}

// waker is a platform with wake-ups that the test sends.
type waker struct {
	eventSourcer
	wakes   chan client.Wake
	stopped bool
}

func (w *waker) Wakes() (<-chan client.Wake, func()) {
	return w.wakes, func() { w.stopped = true }
}
