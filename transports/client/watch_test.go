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

// TestHalfOpen: a connection that is dead without having ended is found by its silence.
func TestHalfOpen(t *testing.T) {
	bubble(t, func(t *testing.T, tr client.Transport) {
		r := newRig(t, rigConfig{Memory: true, Heartbeat: 15 * time.Second})
		c := r.client(client.Config{Transport: tr})
		read := r.reader(c)
		r.await(c, liveBy(tr))
		r.publish(0, 3, "a")
		read.numbers(0, 3)
		synctest.Wait() // a poll is between two connections
		r.freeze()
		begin := time.Now()
		r.publish(3, 3, "a")
		read.numbers(3, 3)
		require.InDelta(t, 42, time.Since(begin).Seconds(), 5) // silence, and the wait after it
		require.EqualValues(t, 1, c.Stats().Reconnects)
	})
}

// TestSilentHub: a hub without heartbeats is not taken for dead for ever.
func TestSilentHub(t *testing.T) {
	bubble(t, func(t *testing.T, tr client.Transport) {
		r := newRig(t, rigConfig{Memory: true})
		c := r.client(client.Config{Transport: tr})
		read := r.reader(c)
		r.await(c, liveBy(tr))
		time.Sleep(time.Hour)
		most := uint64(1)
		if tr == client.SSE || tr == client.EventSource { // where nothing can be asked; the silence that counts grows to 320 s
			most = 4 + 3600/320
		}
		require.LessOrEqual(t, c.Stats().Connects, most)
		require.Equal(t, client.Live, r.await(c, isPhase(client.Live)).Phase)

		synctest.Wait() // a poll is between two connections
		r.freeze()
		begin := time.Now()
		r.publish(0, 3, "a")
		read.numbers(0, 3)
		require.Less(t, time.Since(begin), 330*time.Second)
	})
}

// TestSlowHeartbeats: two of them show how often they come, and then their absence is noticed by that.
func TestSlowHeartbeats(t *testing.T) {
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
		synctest.Wait() // a poll is between two connections
		r.freeze()
		begin := time.Now()
		r.publish(0, 3, "a")
		read.numbers(0, 3)
		require.Less(t, time.Since(begin), 160*time.Second) // two and a half minutes, and the wait
	})
}

// TestSlowBytes: a message that is long in coming keeps its connection alive where bytes can be seen.
func TestSlowBytes(t *testing.T) {
	for _, tr := range []client.Transport{client.SSE, client.LongPoll} {
		t.Run(tr.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, rigConfig{Memory: true, Heartbeat: 15 * time.Second})
				c := r.client(client.Config{Transport: tr})
				read := r.reader(c)
				r.await(c, liveBy(tr))
				r.slow(4<<10, 5*time.Second) // less would be no progress for the hub
				e := bigEvent(100 << 10)
				r.send(e)
				require.Equal(t, e.Data, read.next().Data)
				require.EqualValues(t, 1, c.Stats().Connects)
			})
		})
	}
}

// TestStalledProgram: while the program takes nothing, silence means nothing, and nothing is lost.
func TestStalledProgram(t *testing.T) {
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

// TestWakes: the news that the person or the network is back ends a wait, or a connection that is
// likely to be dead.
func TestWakes(t *testing.T) {
	bubble(t, func(t *testing.T, tr client.Transport) {
		r := newRig(t, rigConfig{Memory: true, Heartbeat: 15 * time.Second})
		p := &waker{eventSourcer: eventSourcer{r.platform()}, wakes: make(chan client.Wake)}
		c := r.client(client.Config{Transport: tr, Platform: p})
		r.await(c, liveBy(tr))

		p.wakes <- client.WakeVisible // all is well
		synctest.Wait()
		require.EqualValues(t, 1, c.Stats().Connects)

		p.wakes <- client.WakeNetwork
		synctest.Wait()
		require.EqualValues(t, 2, c.Stats().Connects)

		synctest.Wait() // a poll is between two connections
		r.freeze()
		time.Sleep(26 * time.Second)
		p.wakes <- client.WakeVisible // silent for longer than a heartbeat, or a poll, takes
		synctest.Wait()
		require.EqualValues(t, 3, c.Stats().Connects)

		r.away(true)
		for c.State().Wait < 2*time.Second {
			time.Sleep(time.Second / 2)
		}
		r.away(false)
		begin := time.Now()
		p.wakes <- client.WakeVisible
		r.await(c, liveBy(tr))
		require.Zero(t, time.Since(begin))
		c.Close()
		require.True(t, p.stopped)
	})
}

// waker is a platform that tells when the test says so.
type waker struct {
	eventSourcer
	wakes   chan client.Wake
	stopped bool
}

func (w *waker) Wakes() (<-chan client.Wake, func()) {
	return w.wakes, func() { w.stopped = true }
}
