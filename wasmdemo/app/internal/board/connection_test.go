package board

import (
	"context"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/auth"
	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports"
	"github.com/trivium-hub/trivium/transports/client"
	"github.com/trivium-hub/trivium/transports/problems"
)

const patience = 3 * time.Minute

// rareHeartbeat is an interval of heartbeats. It is so long that a client does not reconnect if the
// process pauses, and so short that a test can wait for a heartbeat.
const rareHeartbeat = 8 * time.Second

// table is a board with its connections and its load, which publishes sample events. All are
// connected to a real hub.
type table struct {
	*testing.T
	hub     *hub.Hub
	tokens  *tokens
	auth    *auth.Middleware
	board   *Board
	conns   [Columns]*Connection
	load    *Load
	refuse  atomic.Pointer[problems.Problem] // the problem with which the hub refuses to publish; nil: it accepts
	refused atomic.Int64
}

func newTable(t *testing.T, heartbeat time.Duration) *table {
	b := &table{T: t, tokens: &tokens{}, board: &Board{}}
	b.auth = auth.New(auth.Config{Verifier: b.tokens})
	var err error
	b.hub, err = hub.New(hub.Config{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.hub.Close()) })
	api, err := transports.New(transports.Config{Hub: b.hub, Auth: b.auth, Heartbeat: heartbeat})
	require.NoError(t, err)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if problem := b.refuse.Load(); problem != nil && r.URL.Path == "/publish" {
			b.refused.Add(1)
			transports.WriteProblem(w, r, problem)
			return
		}
		api.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	t.Cleanup(front.CloseClientConnections)
	t.Cleanup(api.Close)

	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(func() { cancel(); running.Wait() })
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	platform := client.NewPlatform(&http.Client{Transport: transport})
	token := func() string { return "t0ken" }
	clock := func() float64 { return float64(time.Now().UnixNano()) / 1e6 }
	b.load = NewLoad(&Hub{Platform: platform, URL: front.URL, Token: token}, b.board, clock)
	running.Go(func() { b.load.Run(ctx) })
	for c, use := range []client.Transport{client.WebSocket, client.SSE, client.LongPoll} {
		b.conns[c] = NewConnection(ConnectionConfig{
			Column: c, Board: b.board, Platform: platform, URL: front.URL, Token: token, Clock: clock, Use: use,
		})
		running.Go(func() { b.conns[c].Run(ctx) })
	}
	newest, err := (&Hub{Platform: platform, URL: front.URL, Token: token}).Newest(ctx)
	require.NoError(t, err)
	b.board.Start(newest)
	for _, conn := range b.conns {
		conn.Begin(newest.String())
	}
	return b
}

// tokens is a Verifier that accepts every token until ended is set.
type tokens struct{ ended atomic.Bool }

func (v *tokens) Verify(_ context.Context, _ *http.Request, _ string) (*auth.Credential, error) {
	every, err := hub.ParseFilter(">")
	if err != nil {
		return nil, err
	}
	all := hub.NewFilterSet(every)
	return v.Recheck(&auth.Credential{Grant: &auth.Grant{Subject: "everybody", Subscribe: all, Publish: all}})
}

func (v *tokens) Recheck(c *auth.Credential) (*auth.Credential, error) {
	if v.ended.Load() {
		return nil, auth.ErrTokenEnded
	}
	return c, nil
}

// publish publishes JSON on a topic.
func (b *table) publish(topic, data string) {
	b.Helper()
	_, err := b.hub.Publish(context.Background(), &hub.Event{Topic: topic, Data: []byte(data)})
	require.NoError(b, err)
}

// await waits until a condition is true. It requires that the comparison finds no fault in the
// meantime.
func (b *table) await(what string, holds func(Report) bool) Report {
	b.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		r := b.board.Report(time.Now())
		require.False(b, r.Faulty(), "%+v", r)
		if holds(r) {
			return r
		}
		if time.Now().After(end) {
			require.FailNow(b, "timeout while waiting until "+what, "%+v %v", r, b.load.Status(time.Now()))
		}
	}
}

func (b *table) mode(c int, want Mode) {
	b.Helper()
	require.Eventually(b, func() bool { return b.conns[c].Status(time.Now()).Mode == want }, patience, time.Millisecond,
		"column %d is %+v", c+1, b.conns[c].Status(time.Now()))
}

// level returns a condition: at least n events were compared, and no column is behind.
func level(n uint64) func(Report) bool {
	return func(r Report) bool {
		return r.Compared >= n && r.Columns[0].Behind+r.Columns[1].Behind+r.Columns[2].Behind == 0
	}
}

// TestColumnsStayIdentical calls the functions of the page's buttons at random while events arrive.
// It checks that the comparison never finds a fault, and that all columns have received the same
// events at the end.
func TestColumnsStayIdentical(t *testing.T) {
	t.Parallel()
	b := newTable(t, 0)
	b.load.Set(func(w *LoadWant) { *w = LoadWant{On: true, Rate: 500, Topic: "demo.load"} })
	choices := []client.Transport{client.WebSocket, client.SSE, client.LongPoll}
	for range 40 {
		conn := b.conns[rand.IntN(Columns)]
		switch rand.IntN(8) {
		case 0:
			conn.Cut()
		case 1:
			conn.Stall()
		case 2:
			conn.Resume()
		case 3:
			conn.Disconnect()
		case 4:
			conn.Connect()
		case 5:
			conn.Hide(rand.IntN(2) == 0)
		default:
			conn.Use(choices[rand.IntN(len(choices))])
		}
		time.Sleep(time.Duration(rand.IntN(30)) * time.Millisecond)
		b.conns[rand.IntN(Columns)].SyncPosition()
		r := b.board.Report(time.Now())
		require.False(t, r.Faulty(), "%+v", r)
	}
	b.load.Set(func(w *LoadWant) { w.On = false })
	for _, conn := range b.conns {
		conn.Hide(false)
		conn.Resume()
		conn.Connect()
	}
	b.await("an event has arrived", func(r Report) bool { return r.Compared > 0 })
	require.Eventually(t, func() bool {
		sent := b.load.Status(time.Now()).Accepted
		return level(sent)(b.board.Report(time.Now())) && b.board.Report(time.Now()).Compared == sent
	}, patience, 10*time.Millisecond, "%+v %+v", b.board.Report(time.Now()), b.load.Status(time.Now()))
	r := b.board.Report(time.Now())
	require.False(t, r.Faulty(), "%+v", r)
}

// TestConnectionReportsItsMode checks the mode after each action that a user can take.
func TestConnectionReportsItsMode(t *testing.T) {
	t.Parallel()
	b := newTable(t, rareHeartbeat)
	for c := range Columns {
		b.mode(c, Live)
	}
	require.Equal(t, "Live over long-poll", b.conns[2].Status(time.Now()).Text)

	b.conns[0].Stall()
	b.mode(0, Stalled)
	b.publish("a", "1")
	b.publish("a", "2")
	b.await("column 1 is two events behind", func(r Report) bool { return r.Columns[1].Got == 2 && r.Columns[2].Got == 2 && r.Columns[0].Behind == 2 })
	b.conns[0].SyncPosition()
	b.conns[0].SyncPosition()
	require.False(t, b.board.Report(time.Now()).Faulty(), "a stalled column has lost nothing")
	b.conns[0].Resume()
	b.await("all columns have all events", level(2))

	b.conns[1].Disconnect()
	b.mode(1, Off)
	b.conns[2].Hide(true)
	b.mode(2, Released)
	b.conns[0].Hide(true)
	b.mode(0, Live) // a WebSocket does not use one of the six connections per host
	b.publish("a", "3")
	b.await("columns 2 and 3 are one event behind", func(r Report) bool { return r.Columns[1].Behind == 1 && r.Columns[2].Behind == 1 })
	require.True(t, b.conns[1].Status(time.Now()).Begun)
	b.conns[1].Connect()
	b.conns[2].Hide(false)
	b.conns[0].Use(client.SSE) // the tab is hidden, so the connection is released
	b.mode(0, Released)
	b.conns[0].Hide(false)
	b.await("all columns have all events", level(3))

	b.tokens.ended.Store(true)
	b.auth.Recheck()
	for c, conn := range b.conns {
		// The client tries its token several times, and waits some seconds between the attempts. Cut
		// ends such a wait.
		require.Eventually(t, func() bool {
			mode := conn.Status(time.Now()).Mode
			if mode == Waiting {
				conn.Cut()
			}
			return mode == Ended
		}, patience, 5*time.Millisecond)
		require.Contains(t, b.conns[c].Status(time.Now()).Text, "401 Token ended")
	}
}

// TestBreakMeasuresWhatTheColumnMissed interrupts one column after the other, with a fake clock,
// while events are published.
func TestBreakMeasuresWhatTheColumnMissed(t *testing.T) {
	t.Parallel()
	b := newTable(t, rareHeartbeat)
	cut := NewBreak(b.board, &b.conns)
	seen := uint64(0)
	for c := range Columns {
		for other := range Columns {
			b.mode(other, Live)
		}
		start := time.Now()
		require.True(t, cut.Start(start))
		require.False(t, cut.Start(start), "only one column at a time is interrupted")
		b.mode(c, Broken)
		require.Contains(t, cut.Step(start), "is interrupted for 3.0 s.")
		b.publish("a", "1")
		b.publish("a", "2")
		b.await("the interrupted column has missed two events", func(r Report) bool { return r.Columns[c].Behind == 2 && r.Columns[(c+1)%Columns].Got == seen+2 })
		seen += 2
		cut.length = 0
		require.Eventually(t, func() bool { cut.Step(time.Now()); return !cut.Running() }, patience, time.Millisecond)
		cut.length = cutFor
		text := cut.Step(time.Now())
		require.Regexp(t, "^Column "+ColumnNumber(c)+` \(.*\) missed 2 events, caught up in [\d.]+ s: lost 0, doubled 0\.$`, text)
		b.await("all columns have all events", level(seen))
	}
	require.True(t, cut.Start(time.Now()))
	b.mode(0, Broken)
	require.Eventually(t, func() bool { cut.Step(time.Now().Add(cutFor)); return !cut.Running() }, patience, time.Millisecond)
	require.Contains(t, cut.Step(time.Now()), "missed nothing: no event was published")
	for c := range Columns {
		b.conns[c].Disconnect()
		b.mode(c, Off)
	}
	require.False(t, cut.Start(time.Now()))
	require.Contains(t, cut.Step(time.Now()), "No column is live")
}

func TestPublishOneUsesTheTopicOfTheLoad(t *testing.T) {
	t.Parallel()
	b := newTable(t, 0)
	b.load.Set(func(w *LoadWant) { w.Topic = "demo.elsewhere" })
	b.load.PublishOne()
	b.await("one event has arrived", level(1))
	require.Eventually(t, func() bool { return b.load.Status(time.Now()).Published != "" }, patience, time.Millisecond)
	row := b.board.RowsAfter(0, 0)[0]
	require.Equal(t, "demo.elsewhere", row.Topic)
	require.Equal(t, "order", row.Type)
	require.Equal(t, row.ID, b.load.Status(time.Now()).Published)
	require.False(t, b.load.Status(time.Now()).On)

	b.load.Set(func(w *LoadWant) { w.On, w.Rate = true, 200 })
	b.load.PublishOne()
	b.load.PublishOne()
	b.await("the other events have arrived in order", level(20))
}

// TestRefusedLoadIsRepeated checks that a batch that the hub has refused temporarily is reported,
// sent again with the same idempotency key, and counted once.
func TestRefusedLoadIsRepeated(t *testing.T) {
	t.Parallel()
	b := newTable(t, 0)
	b.load.Set(func(w *LoadWant) { *w = LoadWant{On: true, Rate: 200, Topic: "demo.load"} })
	b.await("some events have arrived", func(r Report) bool { return r.Compared > 10 })

	b.refuse.Store(problems.RateLimited("at most 10 events per second", time.Second))
	require.Eventually(t, func() bool { return b.load.Status(time.Now()).Trouble != "" }, patience, time.Millisecond)
	require.Contains(t, b.load.Status(time.Now()).Trouble, "429 Too many requests: at most 10 events per second")
	b.refuse.Store(nil)
	require.Eventually(t, func() bool { return b.load.Status(time.Now()).Trouble == "" }, patience, time.Millisecond)
	repeats := b.load.Status(time.Now()).Repeats
	require.Equal(t, uint64(b.refused.Load()), repeats)

	b.load.Set(func(w *LoadWant) { w.Hidden = true })
	before := b.load.Status(time.Now()).Accepted
	b.load.Set(func(w *LoadWant) { w.Hidden = false })
	b.await("the load continues", level(before+20))

	b.refuse.Store(problems.Forbidden("the token may not publish on demo.load"))
	require.Eventually(t, func() bool { return !b.load.Status(time.Now()).On }, patience, time.Millisecond)
	require.Contains(t, b.load.Status(time.Now()).Trouble, "403 Forbidden")
	require.Equal(t, repeats, b.load.Status(time.Now()).Repeats, "a batch is not retried after a final refusal")
	b.await("all columns have all events", level(b.load.Status(time.Now()).Accepted))
}

// TestRefusalIsAProblem checks that a refusal by the hub or a proxy is returned as a *client.Problem.
func TestRefusalIsAProblem(t *testing.T) {
	answer := ""
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		require.Equal(t, "Bearer t0ken", r.Header.Get("Authorization"))
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte(answer))
	}))
	defer front.Close()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	h := &Hub{Platform: client.NewPlatform(&http.Client{Transport: transport}), URL: front.URL, Token: func() string { return "t0ken" }}
	for want, body := range map[string]string{
		"503 Draining: the hub is shutting down": `{"type":"urn:trivium:problem:draining","title":"Draining","status":503,"detail":"the hub is shutting down"}`,
		"503 the answer was 503":                 "<h1>Bad gateway</h1>",
	} {
		answer = body
		_, err := h.Publish(context.Background(), "k", &hub.Event{Topic: "a", Data: []byte("1")})
		var problem *client.Problem
		require.ErrorAs(t, err, &problem)
		require.Equal(t, want, Reason(err))
		require.Equal(t, 7*time.Second, problem.RetryAfter)
		require.Nil(t, refusal(err), "a temporary refusal is not final")
	}
}
