package clienttest

import (
	"context"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/transports/client"
)

// startBehindFilter starts a hub behind a filter, and a client that uses Auto. The parameters ws and sse
// are the modes of the filter for WebSocket and SSE (see type filter). The parameter open is the client's
// OpenTimeout.
func startBehindFilter(t *testing.T, e *env, ws, sse string, open time.Duration) (*hub, *follower) {
	t.Helper()
	h := e.newHub(t)
	h.do(t, "filter", "ws", ws, "sse", sse)
	return h, h.follow(t, client.Auto, func(cfg *client.Config) { cfg.URL, cfg.OpenTimeout = h.Filtered, open })
}

// requireUpgrade switches the filter off, and checks that the client returns to WebSocket without a
// gap. The client returns by itself after a minute. Unless e.long is set, requireUpgrade does not
// wait for that, but selects Auto again, so that the client tries immediately.
func requireUpgrade(t *testing.T, e *env, h *hub, f *follower) {
	t.Helper()
	h.do(t, "filter")
	if !e.long {
		f.client.Use(client.LongPoll)
		f.client.Use(client.Auto)
	}
	for up, timeout := false, time.After(patience); !up; {
		select {
		case <-timeout:
			require.Fail(t, "the client did not return to WebSocket", "%+v", f.client.State())
		case <-time.After(10 * time.Millisecond):
			s := f.client.State()
			up = s.Phase == client.Live && s.Transport == client.WebSocket && s.Reason == nil
		}
	}
	f.publish(t, 3)
	f.noGap(t)
}

// testBlocked checks a client behind a proxy that refuses WebSockets.
func testBlocked(t *testing.T, e *env) {
	h, f := startBehindFilter(t, e, "403", "", patience)
	s := f.client.State()
	require.Equal(t, client.SSE, s.Transport)
	require.Error(t, s.Reason)
	f.publish(t, 3)
	requireUpgrade(t, e, h, f)
}

// testBuffered checks a client behind a proxy that does not answer WebSocket handshakes and buffers
// streams.
func testBuffered(t *testing.T, e *env) {
	if testing.Short() {
		t.Skip("the client needs 20 s to detect this")
	}
	h, f := startBehindFilter(t, e, "hang", "buffer", 0) // the default OpenTimeout
	s := f.client.State()
	require.Equal(t, client.LongPoll, s.Transport)
	require.Error(t, s.Reason)
	f.publish(t, 3)
	requireUpgrade(t, e, h, f)
}

// switches returns the number of clients that run testSwitches, and how often each client changes its
// transport. Both numbers are smaller without TRIVIUM_LONG. A client that can use EventSource makes at
// most 200 changes, so that it requests fewer than 100 tickets. The hub issues at most 100 tickets in 30
// seconds, and a client that requests more must wait.
func switches(e *env) (clients, each int) {
	switch {
	case e.long && isPage:
		return 50, 200
	case e.long:
		return 10, 1000
	case os.Getenv(envTriviumJS) != "":
		return 5, 200
	case isNative:
		return 2, 200
	}
	return 1, 100
}

// switchDice returns a random number generator for each client that runs testSwitches.
func switchDice(t *testing.T, e *env) []*rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	if text := os.Getenv(envSeed); text != "" {
		var err error
		seed, err = strconv.ParseUint(text, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("%s=%d", envSeed, seed)
	clients, _ := switches(e)
	var dice []*rand.Rand
	for n := range clients {
		dice = append(dice, rand.New(rand.NewPCG(seed, uint64(n))))
	}
	return dice
}

// testSwitches checks that a client loses and repeats no event while its transport changes at random moments.
func testSwitches(t *testing.T, e *env, dice *rand.Rand) {
	transports := []client.Transport{client.Auto, client.WebSocket, client.SSE, client.LongPoll}
	if isPage {
		transports = append(transports, client.EventSource)
	}
	h := e.newHub(t, "--heartbeat=1s")
	f := h.follow(t, client.Auto, func(cfg *client.Config) { cfg.Topics = []string{"flow"} })
	clients, each := switches(e)
	every := time.Duration(min(clients, 5)) * 3 * time.Millisecond // more clients at once need more time for each switch
	h.do(t, "flow", "every", every.String())
	for range each {
		switch choice := dice.IntN(100); {
		case choice < 70:
			f.client.Use(transports[dice.IntN(len(transports))])
		case choice < 90:
			f.client.Reconnect()
		default:
			h.do(t, "cut")
		}
		if dice.IntN(3) > 0 {
			soonLive(f.client)
		}
		time.Sleep(time.Duration(dice.IntN(8_000)) * time.Microsecond)
	}
	last := h.do(t, "calm")
	f.reach(t, "flow", last)
	f.noGap(t)
	t.Logf("%d events, %+v", last, f.client.Stats())
	require.Equal(t, uint64(last), f.client.Stats().Delivered)
}

// soonLive waits until the client is Live, but only for a limited time.
func soonLive(c testedClient) {
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	for s := range c.States(ctx) {
		if s.Phase == client.Live || s.Phase == client.Ended {
			return
		}
	}
}
