package auth

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// keyFixture is a verifier that fetches its keys from a test issuer, with a fake clock.
type keyFixture struct {
	*issuer
	jwt *JWT
	log strings.Builder
	old crypto.Signer // signs with the key "old", which the issuer has served from the start
	new crypto.Signer // signs with the key "new", which the issuer does not serve yet
}

// inKeyBubble calls f in a synctest bubble, with a verifier that fetched its keys half an hour ago.
func inKeyBubble(t *testing.T, f func(*testing.T, *keyFixture)) {
	_, _, first := signers(t)
	_, _, second := signers(t)
	synctest.Test(t, func(t *testing.T) {
		fx := &keyFixture{issuer: &issuer{t: t, keys: map[string]crypto.Signer{"old": first}}, old: first, new: second}
		var err error
		fx.jwt, err = NewJWT(JWTConfig{JWKSURL: "https://issuer.invalid/", Log: slog.New(slog.NewTextHandler(&fx.log, nil))})
		require.NoError(t, err)
		fx.jwt.remote.client.Transport = fx.issuer
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { fx.jwt.Run(ctx) })
		time.Sleep(30 * time.Minute)
		synctest.Wait()
		f(t, fx)
		cancel()
		running.Wait()
	})
}

// unavailableFor requires that the verifier refuses the token temporarily, and returns the retry
// delay of the error.
func (fx *keyFixture) unavailableFor(t *testing.T, token string) time.Duration {
	t.Helper()
	_, err := fx.jwt.Verify(t.Context(), nil, token)
	require.ErrorIs(t, err, ErrUnavailable)
	var unavailable *UnavailableError
	require.ErrorAs(t, err, &unavailable)
	require.Positive(t, unavailable.RetryAfter)
	return unavailable.RetryAfter
}

// Clients without a valid token cannot cause a valid token to be refused permanently. They can
// delay the fetch of its key by at most one interval, and cause at most one request to the issuer
// per interval.
func TestRotationUnderFlood(t *testing.T) {
	inKeyBubble(t, func(t *testing.T, fx *keyFixture) {
		begin := time.Now()
		var stop atomic.Bool
		var flood sync.WaitGroup
		for attacker := range 8 {
			flood.Go(func() {
				for i := 0; !stop.Load(); i++ {
					_, err := fx.jwt.Verify(t.Context(), nil, fx.token(fx.new, fmt.Sprintf("flood-%d-%d", attacker, i)))
					if !errors.Is(err, ErrUnavailable) && !errors.Is(err, ErrBadToken) {
						t.Errorf("got %v", err)
					}
					time.Sleep(250 * time.Millisecond)
				}
			})
		}
		requests := fx.requests.Load()
		for round := range 10 {
			time.Sleep(time.Duration(round) * 777 * time.Millisecond)
			id := fmt.Sprintf("rotated-%d", round)
			fx.set(func(i *issuer) {
				i.keys = map[string]crypto.Signer{"old": fx.old, id: fx.new}
				i.delay = 50 * time.Millisecond
			})
			rotated, good := time.Now(), fx.token(fx.new, id)
			for {
				_, err := fx.jwt.Verify(t.Context(), nil, good)
				if err == nil {
					break
				}
				require.ErrorIs(t, err, ErrUnavailable, "the refusal is always temporary")
				time.Sleep(50 * time.Millisecond)
			}
			require.LessOrEqual(t, time.Since(rotated), refetchInterval+200*time.Millisecond)
			_, err := fx.jwt.Verify(t.Context(), nil, fx.token(fx.old, "old"))
			require.NoError(t, err)
		}
		stop.Store(true)
		flood.Wait()
		made := int(fx.requests.Load() - requests)
		t.Logf("%d requests in %v", made, time.Since(begin))
		require.LessOrEqual(t, made, int(time.Since(begin)/refetchInterval)+1)
	})
}

// A token with an unknown key ID is refused permanently only after a fetch that started after the
// token arrived.
func TestUnknownKeyIsCheckedWithFreshKeys(t *testing.T) {
	inKeyBubble(t, func(t *testing.T, fx *keyFixture) {
		fx.set(func(i *issuer) { i.delay = 2 * time.Second })
		verdicts := make(map[string]error)
		var mu sync.Mutex
		var all sync.WaitGroup
		ask := func(name, id string) {
			all.Go(func() {
				_, err := fx.jwt.Verify(t.Context(), nil, fx.token(fx.new, id))
				mu.Lock()
				defer mu.Unlock()
				verdicts[name] = err
			})
		}
		ask("causes the fetch", "strange")
		time.Sleep(time.Second)
		ask("arrives during the fetch, unknown key", "stranger")
		ask("arrives during the fetch, fetched key", "new")
		fx.set(func(i *issuer) { i.keys["new"] = fx.new })
		all.Wait()
		require.ErrorIs(t, verdicts["causes the fetch"], ErrBadToken)
		require.ErrorIs(t, verdicts["arrives during the fetch, unknown key"], ErrUnavailable)
		require.NoError(t, verdicts["arrives during the fetch, fetched key"])

		// After a fetch, the keys are not fetched again until refetchInterval has passed.
		wait := fx.unavailableFor(t, fx.token(fx.new, "stranger"))
		require.Equal(t, refetchInterval, wait)
		time.Sleep(refetchInterval - time.Millisecond)
		require.Equal(t, time.Millisecond, fx.unavailableFor(t, fx.token(fx.new, "stranger")))
		time.Sleep(time.Millisecond)
		_, err := fx.jwt.Verify(t.Context(), nil, fx.token(fx.new, "stranger"))
		require.ErrorIs(t, err, ErrBadToken)
	})
}

// The number of requests that wait for a fetch is limited. Reaching the limit does not prevent the
// fetch.
func TestWaitersAreBounded(t *testing.T) {
	inKeyBubble(t, func(t *testing.T, fx *keyFixture) {
		fx.set(func(i *issuer) { i.delay = time.Second; i.keys["new"] = fx.new })
		token, begin := fx.token(fx.new, "new"), time.Now()
		var good, refused atomic.Int32
		var all sync.WaitGroup
		for range 3 * maxKeyWaiters {
			all.Go(func() {
				_, err := fx.jwt.Verify(t.Context(), nil, token)
				if err == nil {
					good.Add(1)
				} else if errors.Is(err, ErrUnavailable) && time.Since(begin) == 0 {
					refused.Add(1)
				}
			})
		}
		all.Wait()
		require.EqualValues(t, maxKeyWaiters, good.Load())
		require.EqualValues(t, 2*maxKeyWaiters, refused.Load())
		require.Zero(t, fx.jwt.remote.waiters)
	})
}

// An empty key set counts as a failed fetch.
func TestEmptyKeySetChangesNothing(t *testing.T) {
	inKeyBubble(t, func(t *testing.T, fx *keyFixture) {
		good := fx.token(fx.old, "old")
		fx.set(func(i *issuer) { i.keys = nil })
		time.Sleep(time.Hour)
		synctest.Wait()
		_, err := fx.jwt.Verify(t.Context(), nil, good)
		require.NoError(t, err)
		require.Contains(t, fx.log.String(), "level=WARN")
		require.Contains(t, fx.log.String(), "the key set has no usable key")
		fx.unavailableFor(t, fx.token(fx.new, "new"))
		fx.set(func(i *issuer) { i.keys = map[string]crypto.Signer{"new": fx.new} })
		time.Sleep(failureInterval)
		synctest.Wait()
		_, err = fx.jwt.Verify(t.Context(), nil, fx.token(fx.new, "new"))
		require.NoError(t, err)
		_, err = fx.jwt.Verify(t.Context(), nil, good)
		require.ErrorIs(t, err, ErrUnavailable, "a token is not refused permanently before a new fetch")
	})
}

// If keys have no IDs, a token that was not signed with a known key causes a fetch, because the
// issuer may have signed it with a new key.
func TestRotationWithoutKeyIDs(t *testing.T) {
	inKeyBubble(t, func(t *testing.T, fx *keyFixture) {
		_, err := fx.jwt.Verify(t.Context(), nil, fx.token(fx.new, ""))
		require.ErrorIs(t, err, ErrBadToken, "a token without an ID is refused if the keys have IDs")
		fx.set(func(i *issuer) { i.keys = map[string]crypto.Signer{"": fx.old} })
		time.Sleep(time.Hour)
		synctest.Wait()
		_, err = fx.jwt.Verify(t.Context(), nil, fx.token(fx.old, ""))
		require.NoError(t, err)
		_, err = fx.jwt.Verify(t.Context(), nil, fx.token(fx.new, ""))
		require.ErrorIs(t, err, ErrBadToken, "refused after a fetch for this token")
		fx.unavailableFor(t, fx.token(fx.new, ""))
		time.Sleep(refetchInterval)
		fx.set(func(i *issuer) { i.keys = map[string]crypto.Signer{"": fx.new} })
		for _, id := range []string{"", "unknown-id"} {
			_, err = fx.jwt.Verify(t.Context(), nil, fx.token(fx.new, id))
			require.NoError(t, err)
		}
	})
}
