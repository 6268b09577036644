package auth

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// book is a Verifier whose tokens can be changed while they are in use.
type book struct {
	mu     sync.Mutex
	tokens map[string]*Credential
	during func() // called before Verify returns
}

func newBook(tokens ...string) *book {
	b := &book{tokens: make(map[string]*Credential)}
	for _, token := range tokens {
		b.set(token, Credential{})
	}
	return b
}

func (b *book) set(token string, c Credential) {
	c.Hash = sha256.Sum256([]byte(token))
	if c.Grant == nil {
		c.Grant = everything(token)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tokens[token] = &c
}

func (b *book) remove(token string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.tokens, token)
}

func (b *book) Verify(_ context.Context, _ *http.Request, token string) (*Credential, error) {
	b.mu.Lock()
	c, ok := b.tokens[token]
	b.mu.Unlock()
	if b.during != nil {
		b.during()
	}
	if !ok {
		return nil, ErrBadToken
	}
	return c, nil
}

func (b *book) Recheck(c *Credential) (*Credential, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, known := range b.tokens {
		if known.Hash == c.Hash {
			return known, nil
		}
	}
	return nil, ErrTokenEnded
}

// holder is a Holder that counts notifications.
type holder struct{ notified atomic.Int32 }

func (h *holder) OnRightsChanged() { h.notified.Add(1) }

func accessOf(t *testing.T, g *Middleware, token, address string) *tokenAccess {
	t.Helper()
	access, err := g.access(t.Context(), nil, token)
	require.NoError(t, err)
	access.Done()
	access.client = netip.MustParseAddr(address)
	return access
}

func requireLimit(t *testing.T, err error, limit Limit) {
	t.Helper()
	var refused *LimitError
	require.True(t, errors.As(err, &refused), "want a *LimitError, got %v", err)
	require.Equal(t, limit, refused.Limit)
}

func TestConnectionLimits(t *testing.T) {
	b := newBook("free", "other")
	b.set("bound", Credential{Limits: Limits{Connections: 2}})
	g := New(Config{Verifier: b, Limits: ConnectionLimits{Total: 6, PerAddress: 3}})
	at := func(token, address string) (*tokenAccess, *holder) {
		return accessOf(t, g, token, address), new(holder)
	}
	hold := func(token, address string) (*tokenAccess, *holder) {
		t.Helper()
		access, h := at(token, address)
		require.NoError(t, access.acquire(h))
		return access, h
	}
	refuse := func(token, address string, limit Limit) {
		t.Helper()
		access, h := at(token, address)
		requireLimit(t, access.acquire(h), limit)
		access.Release(h) // has no effect
	}

	first, one := hold("bound", "192.0.2.1")
	hold("bound", "192.0.2.2")
	refuse("bound", "192.0.2.3", LimitConnectionsPerToken)
	first.Release(one)
	first.Release(one)
	hold("bound", "192.0.2.3")

	hold("free", "2001:db8::1")
	second, two := hold("free", "2001:db8::ffff:1")
	third, three := hold("other", "2001:db8:0:0:1::")
	refuse("free", "2001:db8:0:0:2::", LimitConnectionsPerAddress)
	hold("free", "192.0.2.1")
	refuse("free", "2001:db8:0:1::", LimitConnections)

	watcher := new(holder)
	require.NoError(t, third.acquireUncounted(watcher), "a watcher does not count as a connection")
	third.Release(watcher)

	// A renewed token takes over the connection of the old one. The connection is not counted
	// twice.
	fresh, err := second.renew(t.Context(), "other")
	require.NoError(t, err)
	defer fresh.Done()
	require.NoError(t, fresh.acquire(two))
	again, err := fresh.renew(t.Context(), "other")
	require.NoError(t, err)
	require.NoError(t, again.acquire(two))
	toBound, err := third.renew(t.Context(), "bound")
	require.NoError(t, err)
	requireLimit(t, toBound.acquire(three), LimitConnectionsPerToken)
	_, err = third.renew(t.Context(), "unknown")
	require.ErrorIs(t, err, ErrBadToken)
	refuse("free", "2001:db8:0:1::", LimitConnections)
	second.Release(two)
	refuse("free", "2001:db8:0:1::", LimitConnections)
	again.Release(two)
	hold("free", "2001:db8:0:1::")

	stats := g.Stats()
	require.Equal(t, 6, stats.Connections)
	require.Equal(t, map[Limit]uint64{
		LimitConnections: 3, LimitConnectionsPerToken: 2, LimitConnectionsPerAddress: 1, LimitConnectRate: 0, LimitPublishRate: 0,
		LimitFilterBytes: 0, LimitFilterBytesPerToken: 0, LimitTickets: 0, LimitTicketRequests: 0,
	}, stats.Refused)
}

func TestConnectAndPublishRates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBook("free")
		b.set("bound", Credential{Limits: Limits{ConnectRate: 2, PublishRate: 10}})
		g := New(Config{Verifier: b})
		access := accessOf(t, g, "bound", "192.0.2.1")
		hold := func() error {
			h := new(holder)
			defer access.Release(h)
			return access.acquire(h)
		}
		require.NoError(t, hold())
		require.NoError(t, access.admitSubscription())
		requireLimit(t, hold(), LimitConnectRate)
		err := access.admitSubscription()
		requireLimit(t, err, LimitConnectRate)
		require.Equal(t, 500*time.Millisecond, err.(*LimitError).RetryAfter)
		time.Sleep(500 * time.Millisecond)
		require.NoError(t, hold())

		// A batch is admitted as a whole, and overdraws the bucket.
		require.NoError(t, access.admitPublish(1000))
		err = accessOf(t, g, "bound", "192.0.2.9").admitPublish(1)
		requireLimit(t, err, LimitPublishRate)
		require.InDelta(t, 99.1, err.(*LimitError).RetryAfter.Seconds(), 0.01)
		time.Sleep(err.(*LimitError).RetryAfter)
		require.NoError(t, access.admitPublish(1))

		// WaitPublish admits events at the rate. One call admits at most the number of events that
		// the rate allows in one second.
		time.Sleep(time.Second)
		begin, passed := time.Now(), 0
		for passed < 100 {
			n, err := access.WaitPublish(t.Context(), 1000)
			require.NoError(t, err)
			require.LessOrEqual(t, n, 10)
			passed += n
		}
		require.InDelta(t, 9, time.Since(begin).Seconds(), 0.01)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = access.WaitPublish(ctx, 1)
		require.ErrorIs(t, err, context.Canceled)

		free := accessOf(t, g, "free", "192.0.2.1")
		n, err := free.WaitPublish(t.Context(), 1000)
		require.NoError(t, err)
		require.Equal(t, 1000, n)
		for range 1000 {
			require.NoError(t, free.admitPublish(1000))
			require.NoError(t, free.admitSubscription())
		}
	})
}

// A session ends when its token expires or is revoked.
func TestSessionEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBook("kept", "removed", "changed", "unused")
		const life = time.Minute
		b.set("brief", Credential{Expires: time.Now().Add(life)})
		g := New(Config{Verifier: b})
		ctx, cancel := context.WithCancel(t.Context())
		ran := make(chan struct{})
		go func() {
			defer close(ran)
			g.Run(ctx)
		}()
		held := make(map[string]*tokenAccess)
		holders := make(map[string]*holder)
		for _, token := range []string{"kept", "removed", "changed", "brief"} {
			held[token], holders[token] = accessOf(t, g, token, "192.0.2.1"), new(holder)
			require.NoError(t, held[token].acquire(holders[token]))
		}
		notified := func() (all []string) {
			for _, token := range []string{"kept", "removed", "changed", "brief"} {
				if holders[token].notified.Swap(0) > 0 {
					all = append(all, token)
				}
			}
			return all
		}
		accessOf(t, g, "unused", "192.0.2.1")
		require.Equal(t, 5, g.Stats().Tokens)

		b.remove("removed")
		less := &Grant{Subject: "changed"}
		b.set("changed", Credential{Grant: less, Limits: Limits{PublishRate: 1}})
		g.Recheck()
		require.Equal(t, []string{"removed", "changed"}, notified())
		require.Nil(t, held["removed"].Grant())
		require.Same(t, less, held["changed"].Grant())
		time.Sleep(time.Second) // a bucket whose rate was changed starts empty
		require.NoError(t, held["changed"].admitPublish(1))
		requireLimit(t, held["changed"].admitPublish(1), LimitPublishRate)
		require.ErrorIs(t, held["removed"].acquire(new(holder)), ErrTokenEnded)
		require.ErrorIs(t, held["removed"].acquireUncounted(new(holder)), ErrTokenEnded)
		g.Recheck()
		require.Empty(t, notified(), "an unchanged token causes no notification")
		b.set("removed", Credential{})
		require.NotNil(t, accessOf(t, g, "removed", "192.0.2.1").Grant(), "new requests are accepted after the token is restored")
		require.Nil(t, held["removed"].Grant())

		time.Sleep(life - time.Second - time.Millisecond)
		synctest.Wait()
		require.Empty(t, notified())
		time.Sleep(time.Millisecond)
		_, err := g.access(t.Context(), nil, "brief")
		require.ErrorIs(t, err, ErrTokenEnded, "new requests are refused exactly at expiry")
		time.Sleep(sweepPeriod)
		synctest.Wait()
		require.Equal(t, []string{"brief"}, notified())
		require.Nil(t, held["brief"].Grant())

		for token, access := range held {
			access.Release(holders[token])
		}
		time.Sleep(sweepPeriod)
		synctest.Wait()
		require.Zero(t, g.Stats().Tokens)
		require.Zero(t, g.Stats().Connections)
		cancel()
		<-ran
	})
}

// If a token is removed while a request with it is being verified, the request is refused, although
// the verifier has read the old file.
func TestRecheckDuringVerify(t *testing.T) {
	b := newBook("t")
	g := New(Config{Verifier: b})
	b.during = func() {
		b.during = nil
		b.remove("t")
		g.Recheck()
	}
	_, err := g.access(t.Context(), nil, "t")
	require.ErrorIs(t, err, ErrTokenEnded)
}

// An unused session is deleted only after its rate limits have recovered completely. Otherwise, the limits of the
// token would be reset between two requests.
func TestUnusedSessionsKeepLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBook()
		b.set("bound", Credential{Limits: Limits{PublishRate: 1}})
		g := New(Config{Verifier: b})
		require.NoError(t, accessOf(t, g, "bound", "192.0.2.1").admitPublish(3))
		g.sessions.sweep()
		requireLimit(t, accessOf(t, g, "bound", "192.0.2.1").admitPublish(1), LimitPublishRate)
		time.Sleep(3 * time.Second)
		g.sessions.sweep()
		require.Zero(t, g.Stats().Tokens)
	})
}

// A session is not deleted while a request with its token is served. Otherwise the request would
// not be notified when the token ends.
func TestSessionOfRequestIsKept(t *testing.T) {
	b := newBook("t")
	g := New(Config{Verifier: b})
	access, err := g.access(t.Context(), nil, "t")
	require.NoError(t, err)
	g.sessions.sweep()
	b.remove("t")
	g.Recheck()
	require.Nil(t, access.Grant())
	require.Zero(t, g.Stats().Tokens)
	access.Done()
}

func TestOpenAccess(t *testing.T) {
	g := New(Config{Limits: ConnectionLimits{Total: 1}})
	a := accessOf(t, g, "", "192.0.2.1")
	require.NoError(t, a.acquire(new(holder)))
	b := accessOf(t, g, "any-token", "192.0.2.1")
	requireLimit(t, b.acquire(new(holder)), LimitConnections)
	g.Recheck()
	require.NotNil(t, a.Grant())
	require.Equal(t, netip.Prefix{}, NetworkOf(g.config.Proxies.Client(&http.Request{RemoteAddr: "@"})))
}
