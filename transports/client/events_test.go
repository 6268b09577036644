//go:build !js

package client_test

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/client"
	tt "github.com/trivium-hub/trivium/transports/internal/transporttest"
	"github.com/trivium-hub/trivium/transports/internal/wire"
	"github.com/trivium-hub/trivium/transports/problems"
)

// TestGapPrecedesNewerEvents checks that a gap is reported before any newer event, and that reading
// continues after it.
func TestGapPrecedesNewerEvents(t *testing.T) {
	bubble(t, func(t *testing.T, tr client.Transport) {
		r := newRig(t, rigConfig{Memory: true, Hub: hub.Config{Retention: hub.Retention{Events: 5}}})
		c := r.client(client.Config{Transport: tr})
		read := r.reader(c)
		r.await(c, liveBy(tr))
		r.publish(0, 1, "a")
		read.numbers(0, 1)
		synctest.Wait()
		after := c.Cursor()
		r.setUnreachable(true)
		r.publish(1, 20, "a")
		r.setUnreachable(false)
		e := read.next()
		require.NotNil(t, e.Gap)
		require.Equal(t, client.Event{ID: e.Gap.ResumedAt.String(), Gap: e.Gap}, e)
		require.Equal(t, hub.GapExpired, e.Gap.Reason)
		require.Equal(t, after, e.Gap.After)
		require.True(t, e.Gap.Certain)
		require.Equal(t, e.ID, c.Cursor())
		read.numbers(16, 5)
		require.EqualValues(t, 1, c.Stats().Gaps)
		require.EqualValues(t, 6, c.Stats().Delivered)

		// This cursor belongs to another epoch.
		c = r.client(client.Config{Transport: tr, Cursor: "00000000-7"})
		e = r.reader(c).next()
		require.Equal(t, hub.GapEpoch, e.Gap.Reason)
		require.Equal(t, "00000000-7", e.Gap.After)
		r.reader(c).numbers(16, 5)
	})
}

// TestStartPosition checks each kind of start position. The first attempts to connect fail, and the
// first connection is replaced, which must not change the position.
func TestStartPosition(t *testing.T) {
	bubble(t, func(t *testing.T, tr client.Transport) {
		r := newRig(t, rigConfig{Memory: true})
		r.publish(0, 5, "a")
		time.Sleep(time.Minute)
		r.publish(5, 5, "a")
		third := hub.Cursor{Epoch: r.Hub.Position().Epoch, Seq: 3}
		for _, row := range []struct {
			cfg  client.Config
			from int
		}{
			{client.Config{Last: 3}, 7},
			{client.Config{Since: 40 * time.Second}, 5},
			{client.Config{SinceTime: time.Now().Add(-50 * time.Second).In(time.FixedZone("", 3600))}, 5},
			{client.Config{Cursor: third.String()}, 3},
			{client.Config{Conflate: true, Last: 4}, 6},
			{client.Config{}, 10},
		} {
			row.cfg.Transport = tr
			r.setUnreachable(true)
			c := r.client(row.cfg)
			require.Equal(t, row.cfg.Cursor, c.Cursor())
			r.await(c, isPhase(client.Waiting))
			if row.cfg.Since != 0 {
				time.Sleep(50 * time.Second) // this delay must not change the start position
			}
			r.setUnreachable(false)
			r.await(c, liveBy(tr))
			c.Reconnect()
			r.await(c, liveBy(tr))
			r.reader(c).numbers(row.from, 10-row.from)
			c.Reconnect()
			r.await(c, liveBy(tr))
			synctest.Wait()
			ctx, cancel := contextFor(t, time.Second)
			for _, err := range c.Events(ctx) {
				require.ErrorIs(t, err, context.DeadlineExceeded)
			}
			cancel()
			require.Equal(t, r.Hub.Position().String(), c.Cursor())
		}
	})
}

// TestConflateDeliversNewest checks that only the newest of several waiting events with the same topic
// and key arrives.
func TestConflateDeliversNewest(t *testing.T) {
	bubble(t, func(t *testing.T, tr client.Transport) {
		r := newRig(t, rigConfig{Memory: true})
		begin := r.Hub.Position().String()
		for i := range 5 {
			r.send(&hub.Event{Topic: "a", Key: "k", Data: []byte(strconv.Itoa(i))})
		}
		c := r.client(client.Config{Transport: tr, Cursor: begin, Conflate: true})
		r.reader(c).numbers(4, 1)
		require.EqualValues(t, 1, c.Stats().Delivered)
	})
}

// TestUseSendsCloseFrame checks that a WebSocket that is no longer needed is closed with code 1000.
func TestUseSendsCloseFrame(t *testing.T) {
	r := newRig(t, rigConfig{})
	codes := make(chan websocket.StatusCode, 1)
	r.proxy("/ws", func(w http.ResponseWriter, request *http.Request) {
		conn, err := websocket.Accept(w, request, nil)
		if err != nil {
			return
		}
		_ = conn.Write(request.Context(), websocket.MessageText, wire.Message{Op: wire.OpHello, ID: r.Hub.Position().String()}.AppendJSON(nil))
		_, _, err = conn.Read(request.Context())
		codes <- websocket.CloseStatus(err)
	})
	c := r.client(client.Config{})
	r.await(c, liveBy(client.WebSocket))
	c.Use(client.SSE)
	require.Equal(t, websocket.StatusNormalClosure, <-codes)
}

// TestHeartbeatsMoveCursor checks that heartbeats move the cursor while the program waits for an event.
func TestHeartbeatsMoveCursor(t *testing.T) {
	bubble(t, func(t *testing.T, tr client.Transport) {
		r := newRig(t, rigConfig{Memory: true, Heartbeat: 15 * time.Second})
		c := r.client(client.Config{Transport: tr, Topics: []string{"quiet"}})
		read := r.reader(c)
		r.await(c, liveBy(tr))
		r.publish(0, 1, "quiet")
		for e, err := range c.Events(t.Context()) {
			require.NoError(t, err)
			r.publish(1, 100, "loud")
			time.Sleep(time.Minute)
			require.Equal(t, e.ID, c.Cursor())
			break
		}
		ctx, cancel := contextFor(t, time.Minute)
		defer cancel()
		for _, err := range c.Events(ctx) {
			require.ErrorIs(t, err, context.DeadlineExceeded)
		}
		require.Equal(t, r.Hub.Position().String(), c.Cursor())
		r.publish(101, 1, "quiet")
		read.numbers(101, 1)
	})
}

// TestEventsAllowsOneLoop checks that a second loop can continue after the first one has ended, and
// that two loops at the same time fail.
func TestEventsAllowsOneLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, rigConfig{Memory: true})
		c := r.client(client.Config{})
		r.await(c, isPhase(client.Live))
		r.publish(0, 4, "a")
		enough := errors.New("enough")
		n := 0
		err := c.Handle(t.Context(), func(client.Event) error {
			for _, err := range c.Events(t.Context()) {
				require.ErrorContains(t, err, "already running")
			}
			if n++; n == 2 {
				return enough
			}
			return nil
		})
		require.Equal(t, enough, err)
		require.EqualValues(t, 2, c.Stats().Delivered)
		r.reader(c).numbers(2, 2)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, c.Handle(ctx, func(client.Event) error { return nil }), context.Canceled)
		c.Close()
		require.Equal(t, client.ErrClosed, c.Handle(t.Context(), func(client.Event) error { return nil }))
	})
}

// TestCloseInEveryPhase checks that, in every phase, the client ends immediately when Close is called or
// the context of Connect ends.
func TestCloseInEveryPhase(t *testing.T) {
	bubble(t, func(t *testing.T, tr client.Transport) {
		for phase, spoil := range map[client.Phase]func(*rig){
			client.Connecting: func(r *rig) { r.proxyAll(hang) },
			client.Live:       func(*rig) {},
			client.Waiting:    func(r *rig) { r.proxyAll(answers(503, "Retry-After", "60")) },
			client.Ended:      func(r *rig) { r.proxyAll(answersProblem(problems.NotFound())) },
		} {
			r := newRig(t, rigConfig{Memory: true})
			spoil(r)
			ctx, cancel := context.WithCancel(t.Context())
			c, err := client.Connect(ctx, client.Config{URL: r.URL, Transport: tr, Platform: r.platform()})
			require.NoError(t, err)
			r.await(c, isPhase(phase))
			begin := time.Now()
			if phase == client.Waiting {
				cancel()
			}
			c.Close()
			c.Close()
			require.Zero(t, time.Since(begin))
			require.Equal(t, client.Ended, c.State().Phase)
			cancel()
		}
	})
}

// TestBackpressure checks that a client whose program reads no events reads only a limited amount
// of data ahead.
func TestBackpressure(t *testing.T) {
	bubble(t, func(t *testing.T, tr client.Transport) {
		r := newRig(t, rigConfig{Memory: true})
		c := r.client(client.Config{Transport: tr})
		r.await(c, liveBy(tr))
		const n, size = 40, 100 << 10
		data := strings.Repeat("x", size)
		for range n {
			r.send(tt.JSON("a", `"`+data+`"`))
		}
		synctest.Wait()
		require.Less(t, r.received(), int64(3<<19))
		read := r.reader(c)
		for range n {
			require.Len(t, read.next().Data, size+2)
		}
		require.EqualValues(t, n, c.Stats().Delivered)
	})
}
