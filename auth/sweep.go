package auth

import (
	"context"
	"time"

	"github.com/trivium-hub/trivium/hub"
)

// sweepPeriod is how often it is looked for tokens whose end has come. What their connections are
// told, and the second within which these are closed, begins then.
const sweepPeriod = 100 * time.Millisecond

// run ends the tokens whose time has come, and forgets those that nobody uses, until ctx ends.
func (l *sessionTable) run(ctx context.Context) {
	ticker := time.NewTicker(sweepPeriod)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			l.sweep()
		}
	}
}

func (l *sessionTable) sweep() {
	now := time.Now()
	l.each(func(lease *tokenSession) bool {
		if lease.requests == 0 && len(lease.holders) == 0 && lease.connects.full() && lease.publishes.full() {
			delete(l.byHash, lease.credential.Hash)
			return false
		}
		if !ended(lease.credential, now) {
			return false
		}
		l.end(lease)
		return true
	})
}

// review has every token in use judged again.
func (l *sessionTable) review(verifier Verifier) {
	l.mu.Lock()
	l.reviews++
	l.mu.Unlock()
	l.each(func(lease *tokenSession) bool {
		c, err := verifier.Recheck(lease.credential)
		if err != nil {
			l.end(lease)
			return true
		}
		if c == lease.credential {
			return false
		}
		lease.credential = c
		lease.connects.set(c.Limits.ConnectRate)
		lease.publishes.set(c.Limits.PublishRate)
		lease.grant.Store(c.Grant)
		return true
	})
}

// end takes a lease back. Its holders have yet to be told, and to let go of it.
func (l *sessionTable) end(lease *tokenSession) {
	lease.grant.Store(nil)
	delete(l.byHash, lease.credential.Hash)
}

// maxPerHold bounds the sessions, or the holders of one, that each goes through before it releases the lock.
const maxPerHold = 256

// each calls change with every session, with mu held, and notifies the holders of the sessions for which
// change returned true. It releases mu after maxPerHold elements, and while it notifies, since holders have
// locks of their own under which they call Release. A session that is added meanwhile may be left out.
func (l *sessionTable) each(change func(*tokenSession) bool) {
	var notify []hub.Holder
	count := 0
	pause := func() {
		l.mu.Unlock()
		for _, holder := range notify {
			holder.OnRightsChanged()
		}
		notify, count = notify[:0], 0
		if l.paused != nil {
			l.paused()
		}
		l.mu.Lock()
	}
	step := func() {
		if count++; count == maxPerHold {
			pause()
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	// Both loops go on after others have changed the map: what stays in a map is visited once.
	for _, session := range l.byHash {
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
