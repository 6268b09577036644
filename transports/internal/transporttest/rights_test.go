package transporttest

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/auth"
	"github.com/trivium-hub/trivium/hub"
)

// TestRights tests that the hub ends a subscription when its token ends or loses a right.
func TestRights(t *testing.T) {
	t.Parallel()
	runScenarios(t, []scenario{
		{"token ends", Config{}, tokenEnds},
		{"right withdrawn", Config{}, rightWithdrawn},
		{"token of a client that does not read ends", Config{Hub: retain(1000).Hub}, stuckTokenEnds},
	})
}

// requireUnauthorized requires that the hub ends a stream because its token has ended or lost a right:
// the subscriber receives an error with the given status, and then the end of the stream.
func requireUnauthorized(t *testing.T, c Client, r Path, status int) {
	t.Helper()
	if r.IsLongPoll() {
		item, err := c.Next()
		for err == nil && hasOnlyPosition(item) {
			item, err = c.Next()
		}
		var refusal *Refusal
		require.True(t, errors.As(err, &refusal), "want a refusal, got %v and %v", item, err)
		require.Equal(t, status, refusal.Status)
		return
	}
	item := read(t, c, 1)[0]
	require.Equal(t, Error, item.Kind, "%+v", item)
	require.Equal(t, status, item.Problem.Status)
	requireEnd(t, c, r, 4000+status)
}

// requireReleased requires that the hub soon has no subscription, and that no connection holds the token.
func requireReleased(t *testing.T, s *Server) {
	t.Helper()
	require.Eventually(t, func() bool { return s.Token.Holders() == 0 }, Patience, time.Millisecond)
	require.Eventually(t, func() bool { return s.Hub.Stats().Subscriptions == 0 }, Patience, time.Millisecond)
}

func tokenEnds(t *testing.T, s *Server, r Path) {
	c, _ := opened(t, s, r, Request{})
	e := JSON("a", `1`)
	s.Publish(t, e)
	expect(t, c, e)
	end := time.AfterFunc(20*time.Millisecond, func() { s.Token.SetGrant(nil) }) // at this time, the next poll waits or has not started yet
	defer end.Stop()
	requireUnauthorized(t, c, r, 401)
	if r.IsLongPoll() {
		c.Cut() // a parked connection still holds the token for several seconds after its last poll
	}
	requireReleased(t, s)
	require.Equal(t, 401, refused(t, s, r, Request{}).Status)
}

func rightWithdrawn(t *testing.T, s *Server, r Path) {
	loser, _ := opened(t, s, r, Query("topic", "a.*", "topic", "b"))
	keeper, _ := opened(t, s, r, Query("topic", "a.b"))
	less := &auth.Grant{Subject: "test", Subscribe: filterSet("a.>")}
	end := time.AfterFunc(20*time.Millisecond, func() { s.Token.SetGrant(less) })
	defer end.Stop()
	requireUnauthorized(t, loser, r, 403)
	e := JSON("a.b", `1`)
	s.Publish(t, e)
	expect(t, keeper, e)
	require.Equal(t, 403, refused(t, s, r, Query("topic", "b")).Status)
	keeper.Cut()
}

// stuckTokenEnds tests that a client whose token has ended is disconnected, even if it does not read its
// last message.
func stuckTokenEnds(t *testing.T, s *Server, r Path) {
	if r.IsLongPoll() {
		return // a poll gets the error in the answer to its next request
	}
	_, _ = opened(t, s, r, Request{Slow: true})
	flood(t, s, func(int) *hub.Event { return JSON("a", bulk(1)) })
	begin := time.Now()
	s.Token.SetGrant(nil)
	requireReleased(t, s)
	require.Less(t, time.Since(begin), Patience/2, "the hub must close the connection long before the write timeout")
}
