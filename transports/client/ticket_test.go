//go:build !js

package client_test

import (
	"io"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/transports/client"
	tt "github.com/trivium-hub/trivium/transports/internal/transporttest"
	"github.com/trivium-hub/trivium/transports/problems"
)

// queries records the query of each request for /sse, and passes the request on.
type queries struct {
	rig *rig

	mu   sync.Mutex
	seen []url.Values
}

func (q *queries) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	q.mu.Lock()
	q.seen = append(q.seen, request.URL.Query())
	q.mu.Unlock()
	q.rig.route(w, request)
}

func (q *queries) take() []url.Values {
	q.mu.Lock()
	defer q.mu.Unlock()
	seen := q.seen
	q.seen = nil
	return seen
}

// TestEventSourceSendsTickets checks that the URL of an EventSource contains a new ticket for each connection and never
// the token, unless the hub does not offer tickets.
func TestEventSourceSendsTickets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, rigConfig{Memory: true, Heartbeat: 15 * time.Second})
		r.tokens = map[string]*tt.Token{"secret": tt.NewToken(everything)}
		sse := &queries{rig: r}
		r.proxy("/sse", sse.ServeHTTP)
		c := r.client(client.Config{Transport: client.EventSource, Token: client.StaticToken("secret")})
		read := r.reader(c)
		used := map[string]bool{}
		for i := range 3 {
			r.await(c, liveBy(client.EventSource))
			r.publish(i, 1, "a")
			read.numbers(i, 1)
			for _, query := range sse.take() {
				require.False(t, query.Has("access_token"))
				require.NotEmpty(t, query.Get("ticket"))
				require.False(t, used[query.Get("ticket")], "each ticket is used only once")
				used[query.Get("ticket")] = true
			}
			require.Len(t, used, i+1)
			r.cut()
			r.await(c, isPhase(client.Waiting))
		}

		r.await(c, liveBy(client.EventSource))
		sse.take()
		r.proxy("/ticket", answersProblem(problems.NotFound()))
		c.Reconnect()
		r.await(c, liveBy(client.EventSource))
		require.Eventually(t, func() bool { return c.Stats().Connects == 5 }, r.patience, time.Second)
		require.Equal(t, "secret", sse.take()[0].Get("access_token"), "a hub without tickets receives the token")
	})
}

// TestRefusedTicketEndsOrWaits checks that the refusal of a ticket has the same effect as the
// refusal of the subscription.
func TestRefusedTicketEndsOrWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, rigConfig{Memory: true})
		r.tokens = map[string]*tt.Token{"secret": tt.NewToken(everything)}
		require.Equal(t, 401, r.ended(r.client(client.Config{Transport: client.EventSource, Token: client.StaticToken("wrong")})).Status)

		r.proxy("/ticket", answersProblem(problems.RateLimited("100 tickets", 30*time.Second)))
		c := r.client(client.Config{Transport: client.EventSource, Token: client.StaticToken("secret")})
		require.Equal(t, 30*time.Second, r.await(c, isPhase(client.Waiting)).Wait)
		require.Zero(t, r.asked("/sse"))
		r.proxy("/ticket", nil)
		r.await(c, liveBy(client.EventSource))
	})
}

// TestBrokenTicketAnswerIsRetried checks that an answer without a ticket, for example from a proxy,
// causes a retry and does not end the client.
func TestBrokenTicketAnswerIsRetried(t *testing.T) {
	for _, answer := range []string{"", "{", "[]", `{"ticket":7}`, `{"ticket":""}`} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, rigConfig{Memory: true})
			r.tokens = map[string]*tt.Token{"secret": tt.NewToken(everything)}
			r.proxy("/ticket", func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				_, _ = io.WriteString(w, answer)
			})
			c := r.client(client.Config{Transport: client.EventSource, Token: client.StaticToken("secret")})
			r.await(c, isPhase(client.Waiting))
			require.Zero(t, r.asked("/sse"), answer)
			r.proxy("/ticket", nil)
			r.await(c, liveBy(client.EventSource))
		})
	}
}
