//go:build !js

package client_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/transports/client"
	tt "github.com/trivium-hub/trivium/transports/internal/transporttest"
)

// hang is a proxy that accepts requests and never answers.
func hang(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // without this, the server does not detect that the client has closed the connection
	<-r.Context().Done()
}

// swallow is a proxy that forwards the header of a stream but not its body.
func swallow(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	_ = http.NewResponseController(w).Flush()
	hang(w, r)
}

// flicker is a proxy that ends each stream directly after its opening message.
func flicker(r *rig) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprintf(w, "retry: 10\nevent: trivium.open\nid: %v\ndata:\n\n", r.Hub.Position())
	}
}

// TestFallback checks that Auto uses the best transport that works, reports why a better transport
// does not work, and switches to that transport as soon as it works.
func TestFallback(t *testing.T) {
	for name, row := range map[string]struct {
		ws, sse http.HandlerFunc
		within  time.Duration
		live    client.Transport
		reason  string
	}{
		"WebSocket refused":     {answers(403), nil, 0, client.SSE, "WebSocket: unexpected status 403"},
		"WebSocket unknown":     {answers(404), nil, 0, client.SSE, "WebSocket: unexpected status 404"},
		"upgrade lost":          {answers(200), nil, 0, client.SSE, "WebSocket: unexpected status 200"},
		"WebSocket unanswered":  {hang, nil, 10 * time.Second, client.SSE, "WebSocket: no answer from the hub within 10s"},
		"SSE body lost":         {answers(502), swallow, 10 * time.Second, client.LongPoll, "SSE: no answer from the hub within 10s"},
		"SSE refused":           {answers(502), answers(400), 0, client.LongPoll, "SSE: unexpected status 400"},
		"SSE lost at once":      {answers(502), nil, time.Second, client.LongPoll, "SSE: the stream ended"},
		"SSE answers with HTML": {answers(502), answers(200, "Content-Type", "text/html"), 0, client.LongPoll, "SSE: unexpected status 200: the answer is not from a hub"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, rigConfig{Memory: true})
				r.proxy("/ws", row.ws)
				r.proxy("/sse", row.sse)
				if name == "SSE lost at once" {
					r.proxy("/sse", flicker(r))
				}
				c := r.client(client.Config{})
				begin := time.Now()
				state := r.await(c, liveBy(row.live))
				require.LessOrEqual(t, time.Since(begin), row.within)
				require.ErrorContains(t, state.Reason, row.reason)
				r.publish(0, 3, "a")
				r.reader(c).numbers(0, 3)

				r.proxy("/ws", nil)
				begin = time.Now()
				state = r.await(c, liveBy(client.WebSocket))
				require.InDelta(t, 60, time.Since(begin).Seconds(), 1)
				require.NoError(t, state.Reason)
				r.publish(3, 3, "a")
				r.reader(c).numbers(3, 3)
				require.EqualValues(t, 6, c.Stats().Delivered)
			})
		})
	}
}

// TestOpenTimeout checks that Config.OpenTimeout replaces the default of 10 s.
func TestOpenTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, rigConfig{Memory: true})
		r.proxy("/ws", hang)
		begin := time.Now()
		state := r.await(r.client(client.Config{OpenTimeout: time.Minute}), liveBy(client.SSE))
		require.Equal(t, time.Minute, time.Since(begin))
		require.ErrorContains(t, state.Reason, "WebSocket: no answer from the hub within 1m0s")
	})
}

// TestProbeIntervals checks that Auto probes for a better transport after 1 minute, then 2, 4 and
// up to 30 minutes, and that probes do not disturb the current connection.
func TestProbeIntervals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, rigConfig{Memory: true, Heartbeat: 15 * time.Second})
		r.proxy("/ws", hang)
		c := r.client(client.Config{})
		r.await(c, liveBy(client.SSE))
		for _, minutes := range []time.Duration{1, 2, 4, 8, 16, 30, 30} {
			asked := r.asked("/ws")
			time.Sleep(minutes*time.Minute - time.Second)
			require.Equal(t, asked, r.asked("/ws"))
			time.Sleep(time.Second + 10*time.Second) // a probe of an unanswered WebSocket takes 10 s
			synctest.Wait()
			require.Equal(t, asked+1, r.asked("/ws"))
		}
		require.EqualValues(t, 1, c.Stats().Connects)

		// A probe may also find a transport that is better than the current one, but not the best.
		r.proxy("/sse", answers(502))
		r.cut()
		r.await(c, liveBy(client.LongPoll))
		r.proxy("/sse", nil)
		state := r.await(c, liveBy(client.SSE))
		require.ErrorContains(t, state.Reason, "WebSocket: ")
		require.NotContains(t, state.Reason.Error(), "SSE: ")
	})
}

// TestAutoWithoutNetwork checks that Auto starts again with the best transport after all transports
// have failed.
func TestAutoWithoutNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, rigConfig{Memory: true})
		r.setUnreachable(true)
		c := r.client(client.Config{})
		time.Sleep(time.Minute)
		r.setUnreachable(false)
		state := r.await(c, isPhase(client.Live))
		require.Equal(t, client.WebSocket, state.Transport)
		require.NoError(t, state.Reason)
	})
}

// TestUseChangesTransport checks that the program can change the transport at any time, and that
// Auto starts with the best transport.
func TestUseChangesTransport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, rigConfig{Memory: true})
		r.proxy("/ws", answers(404))
		c := r.client(client.Config{Platform: struct{ client.Platform }{r.platform()}}) // without EventSource
		r.await(c, liveBy(client.SSE))
		r.proxy("/ws", nil)
		c.Use(client.LongPoll)
		state := r.await(c, liveBy(client.LongPoll))
		require.NoError(t, state.Reason)
		c.Use(client.Auto)
		r.await(c, liveBy(client.WebSocket))
		c.Use(client.WebSocket) // the transport stays the same
		synctest.Wait()
		require.EqualValues(t, 3, c.Stats().Connects)
		require.EqualValues(t, 2, c.Stats().Switches)
		c.Reconnect()
		synctest.Wait()
		require.EqualValues(t, 4, c.Stats().Connects)
		require.EqualValues(t, 2, c.Stats().Switches)
		c.Use(client.EventSource)
		require.ErrorContains(t, r.ended(c), "EventSource is available in browser pages only")

		c = r.client(client.Config{Transport: client.SSE})
		r.await(c, liveBy(client.SSE))
		r.proxy("/ws", answers(502))
		c.Use(client.WebSocket)
		state = r.await(c, isPhase(client.Waiting))
		require.LessOrEqual(t, state.Wait, 500*time.Millisecond) // the retry time that the SSE stream has sent does not apply to another transport
		c.Use(client.EventSource + 1)
		require.ErrorContains(t, r.ended(c), "Transport(5) is not a transport of this package")
	})
}

// TestStatesMissesNone checks that a slow loop over States receives every state.
func TestStatesMissesNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, rigConfig{Memory: true})
		r.proxy("/ws", answers(404))
		r.proxy("/sse", answers(503, "Retry-After", "5"))
		r.proxy("/poll", answers(503, "Retry-After", "5"))
		c := r.client(client.Config{})
		var phases []string
		for s := range c.States(t.Context()) {
			phases = append(phases, s.Phase.String()+" "+s.Transport.String())
			time.Sleep(time.Minute)
			switch len(phases) {
			case 4:
				r.proxyAll(nil)
			case 6:
				c.Close()
			}
		}
		require.Equal(t, []string{
			"connecting WebSocket", "connecting SSE", "connecting long-poll", "waiting WebSocket",
		}, phases[:4])
		require.Equal(t, "ended WebSocket", phases[len(phases)-1])
		ctx, cancel := context.WithTimeout(t.Context(), tt.Patience)
		defer cancel()
		for s := range c.States(ctx) {
			require.Equal(t, client.State{Phase: client.Ended, Transport: client.WebSocket, Reason: client.ErrClosed}, s)
		}
	})
}
