package auth

import (
	"context"
	"time"
)

// sweepPeriod is the interval between two searches for expired tokens. docs/protocol.md promises
// that connections close within a second of the expiry. An expired token is found at most one
// interval late.
const sweepPeriod = 100 * time.Millisecond

// run ends expired sessions and deletes unused ones, until ctx ends.
func (t *sessionTable) run(ctx context.Context) {
	ticker := time.NewTicker(sweepPeriod)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			t.sweep()
		}
	}
}

func (t *sessionTable) sweep() {
	now := time.Now()
	t.each(func(session *tokenSession) bool {
		if session.requests == 0 && len(session.holders) == 0 && session.connects.unused() && session.publishes.unused() {
			delete(t.byHash, session.credential.Hash)
			return false
		}
		if !ended(session.credential, now) {
			return false
		}
		t.end(session)
		return true
	})
}

// recheckAll verifies every token in use again.
func (t *sessionTable) recheckAll(verifier Verifier) {
	t.mu.Lock()
	t.rechecks++
	t.mu.Unlock()
	t.each(func(session *tokenSession) bool {
		c, err := verifier.Recheck(session.credential)
		if err != nil {
			t.end(session)
			t.ended = append(t.ended, endedToken{session.credential.Grant.Subject, len(session.holders), err})
			return true
		}
		if c == session.credential {
			return false
		}
		session.credential = c
		session.connects.set(c.Limits.ConnectRate)
		session.publishes.set(c.Limits.PublishRate)
		session.grant.Store(c.Grant)
		return true
	})
}

// end ends a session. The caller must notify its connections.
func (t *sessionTable) end(session *tokenSession) {
	session.grant.Store(nil)
	delete(t.byHash, session.credential.Hash)
}

// endedToken is a token that a recheck has ended. It is kept for the log.
type endedToken struct {
	subject     string
	connections int
	reason      error
}

// logEnded writes a log line for each token that a recheck has ended.
func (t *sessionTable) logEnded(tokens []endedToken) {
	for _, e := range tokens {
		t.log.Info("a token was withdrawn; its connections are closed", "subject", e.subject, "connections", e.connections, "reason", e.reason.Error())
	}
}

// maxPerHold is the number of sessions and connections after which sessionTable.each releases the
// lock.
const maxPerHold = 256

// each calls the function change for every session, and notifies the connections of the sessions for
// which it returned true. It holds mu during the calls of change. It releases mu after every
// maxPerHold sessions and connections. It also releases mu while it notifies, because a connection
// calls Release while it holds a lock of its own. A session that is added meanwhile may be missed.
func (t *sessionTable) each(change func(*tokenSession) bool) {
	var notify []Holder
	count := 0
	pause := func() {
		ended := t.ended
		t.ended = nil
		t.mu.Unlock()
		t.logEnded(ended) // mu is not held, because writing a log may block
		for _, holder := range notify {
			holder.OnRightsChanged()
		}
		notify, count = notify[:0], 0
		if t.paused != nil {
			t.paused()
		}
		t.mu.Lock()
	}
	step := func() {
		if count++; count == maxPerHold {
			pause()
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	// While mu is released, the map may change. Go guarantees that the loop visits elements that
	// stay in the map exactly once.
	for _, session := range t.byHash {
		if change(session) {
			for holder := range session.holders {
				notify = append(notify, holder)
				step()
			}
		}
		step()
	}
	pause()
}
