package auth

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// countedRechecks counts the rechecked sessions and the calls of OnRightsChanged.
type countedRechecks struct {
	*book
	rechecks, notified int
}

func (c *countedRechecks) Recheck(credential *Credential) (*Credential, error) {
	c.rechecks++
	if credential.Limits.Connections == 1 {
		return nil, ErrTokenEnded
	}
	changed := *credential
	changed.Limits.Connections = 2
	return &changed, nil
}

type countedHolder struct {
	all      *countedRechecks
	notified int
}

func (h *countedHolder) OnRightsChanged() {
	h.notified++
	h.all.notified++
}

// The test counts how many sessions and holders a recheck visits before it releases the lock. While
// the lock is released, the test adds a session and a holder, and removes a holder.
func TestRecheckReleasesTheLock(t *testing.T) {
	const tokens, holders = 3000, 3000
	verifier := &countedRechecks{book: newBook()}
	m := New(Config{Verifier: verifier})
	open := func(i int, limits Limits) *tokenAccess {
		token := fmt.Sprint("token", i)
		credential := &Credential{Hash: [32]byte{byte(i), byte(i >> 8), byte(i >> 16)}, Grant: everything(token), Limits: limits}
		session, err := m.sessions.acquire(credential, m.sessions.generation(), verifier)
		require.NoError(t, err)
		return &tokenAccess{middleware: m, session: session}
	}
	var crowd *tokenAccess
	for i := range tokens {
		access := open(i, Limits{})
		if i == tokens/2 {
			crowd = access
		}
	}
	var all []*countedHolder
	for range holders {
		h := &countedHolder{all: verifier}
		all = append(all, h)
		require.NoError(t, crowd.acquireUncounted(h))
	}
	holds, rechecks, notified := 0, 0, 0
	gone := make(map[*countedHolder]bool)
	m.sessions.paused = func() {
		assert.LessOrEqual(t, verifier.rechecks-rechecks, maxPerHold)
		assert.LessOrEqual(t, verifier.notified-notified, maxPerHold)
		holds, rechecks, notified = holds+1, verifier.rechecks, verifier.notified
		open(tokens+holds, Limits{Connections: 2}) // this session was verified with the current configuration
		late := &countedHolder{all: verifier}
		assert.NoError(t, crowd.acquireUncounted(late)) // this holder has the new rights already
		if h := all[holds]; h.notified == 0 {
			gone[h] = true
			crowd.Release(h)
		}
	}
	m.Recheck()
	require.GreaterOrEqual(t, holds, (tokens+holders)/maxPerHold)
	for _, h := range all {
		if !gone[h] {
			require.Equal(t, 1, h.notified)
		}
	}
	for _, session := range m.sessions.byHash {
		require.Equal(t, 2, session.credential.Limits.Connections)
	}
}
