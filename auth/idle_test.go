package auth

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// If a new connection would exceed a limit, an idle connection is notified that it must close, and
// the new connection is accepted.
func TestIdleConnectionsMakeRoom(t *testing.T) {
	for limit, limits := range map[Limit]struct {
		all   ConnectionLimits
		token Limits
	}{
		LimitConnections:           {all: ConnectionLimits{Total: 1}},
		LimitConnectionsPerAddress: {all: ConnectionLimits{PerAddress: 1}},
		LimitConnectionsPerToken:   {token: Limits{Connections: 1}},
	} {
		t.Run(string(limit), func(t *testing.T) {
			b := newBook()
			b.set("token", Credential{Limits: limits.token})
			g := New(Config{Verifier: b, Limits: limits.all})
			access := accessOf(t, g, "token", "192.0.2.1")
			first, second, third := new(holder), new(holder), new(holder)
			require.NoError(t, access.acquire(first))
			requireLimit(t, access.acquire(second), limit)
			access.SetIdle(first)
			require.NoError(t, access.acquire(second))
			require.EqualValues(t, 1, first.notified.Load())
			require.Equal(t, 1, g.Stats().Connections)
			access.Release(first) // has no effect
			requireLimit(t, access.acquire(third), limit)
			access.SetIdle(second)
			access.Release(second)
			require.Zero(t, g.Stats().Connections)
			require.Empty(t, g.sessions.idle.all)
			require.Empty(t, g.sessions.idle.byNetwork)
			require.Empty(t, g.sessions.idle.bySession)
		})
	}
}
