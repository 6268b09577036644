package clienttest

import (
	"context"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/transports/client"
)

// testCut checks that events that were published while the connection was lost arrive later.
func testCut(t *testing.T, e *env, tr client.Transport) {
	h := e.newHub(t)
	f := h.follow(t, tr, nil)
	f.publish(t, 3)
	for range 2 {
		h.do(t, "cut")
		f.publish(t, 3)
	}
	f.noGap(t)
	if tr != client.LongPoll { // net/http and browsers retry polls by themselves, so the loss cannot be observed
		require.Positive(t, f.client.Stats().Reconnects)
	}
	require.Equal(t, uint64(9), f.client.Stats().Delivered)
}

// testHalfOpen checks that the client detects a blocked connection that neither side closes.
func testHalfOpen(t *testing.T, e *env, tr client.Transport) {
	h := e.newHub(t, "--heartbeat=250ms")
	f := h.follow(t, tr, func(cfg *client.Config) { cfg.Silence = 2 * time.Second })
	f.publish(t, 3)
	h.do(t, "blackhole")
	last := h.publish(t, "t", 3, 0)
	await(t, f.client, "the client has detected the silence", notLive)
	h.do(t, "heal")
	f.reach(t, "t", last)
	f.noGap(t)
}

// testStall checks that a program receives every event after a pause, even if more events arrive
// during the pause than a page can queue.
func testStall(t *testing.T, e *env, tr client.Transport) {
	h := e.newHub(t)
	c := h.connect(t, tr, nil)
	n := 3000
	if !isNative && (tr == client.WebSocket || tr == client.EventSource) {
		n = 11_000
	}
	last := h.publish(t, "t", n, 100)
	time.Sleep(time.Second) // during this time, most events arrive
	f := h.followClient(t, c)
	f.reach(t, "t", last)
	f.noGap(t)
	f.publish(t, 1)
}

// testSlow checks that the client reads an event of 120 KB over a connection that transfers 64
// KB/s.
func testSlow(t *testing.T, e *env, tr client.Transport) {
	h := e.newHub(t, "--heartbeat=500ms")
	f := h.follow(t, tr, nil)
	h.do(t, "slow", "n", "64")
	f.reach(t, "t", h.publish(t, "t", 60, 2000))
	f.noGap(t)
}

// testReset checks that the client loses nothing if each connection is reset after 60 KB, in the
// middle of an event.
func testReset(t *testing.T, e *env, tr client.Transport) {
	h := e.newHub(t)
	h.do(t, "brittle", "n", "60000")
	f := h.follow(t, tr, nil)
	last := h.publish(t, "t", 40, 5000)
	// The client may already have reconnected and received everything, so the counter of reconnects also proves
	// that a connection was lost. A long-poll client cannot reconnect before "heal": each answer is longer than
	// 60 KB, so each connection is reset.
	lost := func() bool { return f.client.Stats().Reconnects > 0 || notLive(f.client.State()) }
	require.Eventually(t, lost, patience, time.Millisecond, "the connection is lost")
	h.do(t, "heal")
	f.reach(t, "t", last)
	f.noGap(t)
}

// testRestart checks that the client reports a gap if the hub restarts without its old events.
func testRestart(t *testing.T, e *env, tr client.Transport) {
	h := e.newHub(t)
	f := h.follow(t, tr, nil)
	f.publish(t, 3)
	h.do(t, "kill")
	await(t, f.client, "the hub is unavailable", notLive)
	h.do(t, "start")
	f.wait(t, "a gap", func() bool { return len(f.gaps) > 0 })
	f.publish(t, 3)
	require.Len(t, f.gaps, 1)
	require.Equal(t, "epoch", string(f.gaps[0].Reason))
	require.False(t, f.gaps[0].Certain)
	require.Equal(t, uint64(1), f.client.Stats().Gaps)
}

// testDrain checks that a draining hub delivers all events, and that the client delays its reconnect by
// the time that the hub requests.
func testDrain(t *testing.T, e *env, tr client.Transport) {
	// On a busy machine, a hub may need longer than the drain window to send a goaway message to
	// all clients.
	for window := 5 * time.Second; !drainWithin(t, e, tr, window); window *= 4 {
		require.Less(t, window, patience, "even with the longest drain window, the hub closed connections at the end of the drain")
	}
}

// drainWithin returns false if the hub closed connections at the end of the drain window.
func drainWithin(t *testing.T, e *env, tr client.Transport, window time.Duration) bool {
	h := e.newHub(t, "--drain="+window.String())
	f := h.follow(t, tr, nil)
	waits := make(chan client.State, 1)
	ctx := withPatience(t)
	go func() {
		for s := range f.client.States(ctx) {
			if s.Phase == client.Waiting {
				waits <- s
				return
			}
		}
	}()
	last := h.publish(t, "t", 300, 100)
	// A draining hub does not wait for the next request of a long-poll client. In a browser, all scenarios
	// share one thread, so that the client may read late. Data that it has not read when the hub ends may
	// be dropped.
	if tr == client.LongPoll || !isNative {
		f.reach(t, "t", last)
	}
	if cut := h.do(t, "drain"); cut > 0 {
		t.Logf("the hub closed %d connections at the end of the drain", cut)
		return false
	}
	f.reach(t, "t", last)
	select {
	case s := <-waits:
		require.Error(t, s.Reason)
		// The hub requests a wait of at least a second, which is longer than the client's own first wait.
		// The client may not receive this message in two cases: a long-poll client has no open request when
		// the hub ends, or an EventSource drops the message because the page was too busy to read it.
		askedByHub := tr != client.LongPoll && (tr != client.EventSource || !strings.Contains(s.Reason.Error(), "lost its connection"))
		if askedByHub {
			require.GreaterOrEqual(t, s.Wait, time.Second, "%+v", s)
		}
	case <-ctx.Done():
		require.Fail(t, "the client did not wait as requested by the hub")
	}
	h.do(t, "start")
	f.wait(t, "a gap", func() bool { return len(f.gaps) > 0 })
	f.publish(t, 3)
	return true
}

// testDenied checks that the client reports the status of a refusal, even in a page where the
// transport hides it.
func testDenied(t *testing.T, e *env, tr client.Transport) {
	h := e.newHub(t)
	narrow, err := token(time.Hour, "other")
	require.NoError(t, err)
	for value, status := range map[string]int{"wrong": 401, narrow: 403} {
		c := h.begin(t, tr, func(cfg *client.Config) { cfg.Token = client.StaticToken(value) })
		final := refusal(t, h.followClient(t, c).ends(t))
		require.Equal(t, status, final.Status, "%v", final)
		require.NotContains(t, final.Error(), narrow)
	}
}

// testTokenEnds checks that a client ends if its token expires and its source returns no other.
func testTokenEnds(t *testing.T, e *env, tr client.Transport) {
	h := e.newHub(t)
	once, err := token(4*time.Second, ">")
	require.NoError(t, err)
	c := h.begin(t, tr, func(cfg *client.Config) { cfg.Token = client.StaticToken(once) })
	f := h.followClient(t, c)
	final := refusal(t, f.ends(t))
	require.Equal(t, 401, final.Status)
	require.NotContains(t, final.Error(), once)
	last := await(t, c, "the end", func(s client.State) bool { return s.Phase == client.Ended })
	require.Equal(t, error(final), last.Reason)
}

// testTokenRenewed checks that a client whose source returns new tokens stays connected and misses
// no event.
func testTokenRenewed(t *testing.T, e *env, tr client.Transport) {
	h := e.newHub(t)
	renewals := int64(2)
	if testing.Short() {
		renewals = 1 // each renewal takes seven seconds
	}
	var live atomic.Bool
	var early, late atomic.Int64 // number of tokens that the client requested before and after its first connection
	renewed := make(chan struct{}, 100)
	f := h.follow(t, tr, func(cfg *client.Config) {
		cfg.Token = func(ctx context.Context) (client.Token, error) {
			// On a busy machine, a token may expire before it reaches the hub. The client tolerates one rejection
			// before it has been Live, and five consecutive ones afterwards. Only the first token and those of the
			// wanted renewals therefore have a short life.
			life := 10 * time.Second
			if live.Load() {
				if late.Add(1) > renewals {
					life = time.Hour
				}
				renewed <- struct{}{}
			} else if early.Add(1) > 1 {
				life = 80 * time.Second
			}
			return tokens(life)(ctx)
		}
	})
	live.Store(true)
	h.do(t, "flow", "every", "20ms")
	for range renewals {
		select {
		case <-renewed:
		case <-time.After(patience):
			require.Fail(t, "the client requested no token")
		}
	}
	h.do(t, "calm")
	f.publish(t, 3)
	f.noGap(t)
}

// testTopics checks that topics can be added and removed without losing events of the other topics.
func testTopics(t *testing.T, e *env, tr client.Transport) {
	h := e.newHub(t)
	f := h.follow(t, tr, func(cfg *client.Config) { cfg.Topics = []string{"a"} })
	both := func() (a, b int) { return h.publish(t, "a", 2, 0), h.publish(t, "b", 2, 0) }
	both()
	ctx := withPatience(t)
	require.NoError(t, f.client.SetTopics(ctx, []string{"a", "b"}))
	require.NoError(t, f.client.SetTopics(ctx, []string{"b", "a"}))
	a, b := both()
	f.reach(t, "a", a)
	f.reach(t, "b", b)
	require.Error(t, f.client.SetTopics(ctx, []string{"a..b"}))
	require.NoError(t, f.client.SetTopics(ctx, []string{"b"}))
	_, b = both()
	f.reach(t, "b", b)
	require.Equal(t, a, f.last["a"])
	h.do(t, "cut")
	_, b = both()
	f.reach(t, "b", b)
	require.Equal(t, a, f.last["a"])
	f.noGap(t)
}

// testPublish checks that no event is published twice if the answer to a publish is lost and the
// client repeats it.
func testPublish(t *testing.T, e *env, tr client.Transport) {
	h := e.newHub(t)
	f := h.follow(t, tr, nil)
	witness := h.follow(t, client.Auto, func(cfg *client.Config) { cfg.URL = h.Direct })
	ctx := withPatience(t)
	publish := func(n int) error {
		_, err := f.client.Publish(ctx, client.Event{Topic: "t", Data: []byte(`{"n":` + strconv.Itoa(n) + `}`)})
		return err
	}
	require.NoError(t, publish(1)) // sends the CORS preflight of browsers before the fault
	for n := 2; n <= 4; n++ {
		h.do(t, "brittle", "n", "20")
		published := make(chan error, 1)
		go func() { published <- publish(n) }()
		witness.reach(t, "t", n)
		h.do(t, "heal")
		require.NoError(t, <-published)
	}
	f.reach(t, "t", 4)
	f.noGap(t)
}
