//go:build !js

package client_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/auth"
	"github.com/trivium-hub/trivium/transports/client"
	tt "github.com/trivium-hub/trivium/transports/internal/transporttest"
)

// mint is a TokenSource whose tokens expire after life.
type mint struct {
	r    *rig
	life time.Duration
	jwt  bool // the source does not set the expiry; only the token contains it

	mu    sync.Mutex
	calls int
	fail  error
	ends  []*time.Timer
}

func (m *mint) source(context.Context) (client.Token, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls++
	if m.fail != nil {
		return client.Token{}, m.fail
	}
	token := client.Token{Value: fmt.Sprintf("token-number-%d", m.calls), Ends: time.Now().Add(m.life)}
	if m.jwt {
		claims := fmt.Sprintf(`{"exp":%d,"jti":"%d"}`, token.Ends.Unix(), m.calls)
		token = client.Token{Value: "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".c2ln"}
	}
	m.r.grant(token.Value, everything)
	m.ends = append(m.ends, time.AfterFunc(m.life, func() { m.r.revise(token.Value, nil) }))
	return token, nil
}

func (m *mint) set(fail error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = fail
}

func (m *mint) asked() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.calls
}

// TestTokenRenewedBeforeExpiry checks when tokens are renewed, and that no event is lost.
func TestTokenRenewedBeforeExpiry(t *testing.T) {
	for _, jwt := range []bool{false, true} {
		for life, renewal := range map[time.Duration]time.Duration{
			5 * time.Minute:  4 * time.Minute,
			20 * time.Second: 16 * time.Second, // four fifths of the token's life
			5 * time.Second:  4 * time.Second,
		} {
			t.Run(fmt.Sprintf("JWT %v, %v", jwt, life), func(t *testing.T) {
				bubble(t, func(t *testing.T, tr client.Transport) {
					r := newRig(t, rigConfig{Memory: true, Heartbeat: 15 * time.Second})
					m := &mint{r: r, life: life, jwt: jwt}
					c := r.client(client.Config{Transport: tr, Token: m.source})
					read := r.reader(c)
					r.await(c, liveBy(tr))
					time.Sleep(renewal - 2*time.Second)
					require.Equal(t, 1, m.asked())
					time.Sleep(3 * time.Second)
					require.Equal(t, 2, m.asked())
					for i := range 20 {
						time.Sleep(renewal)
						r.publish(i, 1, "a")
						read.numbers(i, 1)
					}
					if tr == client.WebSocket || tr == client.LongPoll { // the other transports reconnect to send a new token
						require.EqualValues(t, 1, c.Stats().Connects)
					}
				})
			})
		}
	}
}

// TestLateTokensDoNotEndClient checks that the client does not end and loses no event, although its
// tokens are valid for a few seconds only and the source sometimes returns an expired token twice.
func TestLateTokensDoNotEndClient(t *testing.T) {
	bubble(t, func(t *testing.T, tr client.Transport) {
		r := newRig(t, rigConfig{Memory: true, Heartbeat: 15 * time.Second})
		m := &mint{r: r, life: 4500 * time.Millisecond}
		late := 0
		var given client.Token
		c := r.client(client.Config{Transport: tr, Token: func(ctx context.Context) (client.Token, error) {
			m.mu.Lock()
			repeat := late > 0 && given.Value != ""
			if repeat {
				late--
			}
			m.mu.Unlock()
			if repeat {
				return client.Token{Value: given.Value}, nil
			}
			token, err := m.source(ctx)
			given = token
			return token, err
		}})
		read := r.reader(c)
		r.await(c, liveBy(tr))
		for i := range 10 {
			m.mu.Lock()
			late = 2
			m.mu.Unlock()
			time.Sleep(8 * time.Second)
			r.publish(i, 1, "a")
			read.numbers(i, 1)
		}
		require.NotEqual(t, client.Ended, c.State().Phase)
	})
}

// TestOldTokenUsedWhileSourceFails checks that the client keeps using the old token while it is
// valid, and calls the source again.
func TestOldTokenUsedWhileSourceFails(t *testing.T) {
	bubble(t, func(t *testing.T, tr client.Transport) {
		r := newRig(t, rigConfig{Memory: true, Heartbeat: 15 * time.Second})
		m := &mint{r: r, life: 5 * time.Minute, fail: errors.New("out of tokens")}
		c := r.client(client.Config{Transport: tr, Token: m.source})
		state := r.await(c, isPhase(client.Waiting))
		require.ErrorContains(t, state.Reason, "out of tokens")
		m.set(nil)
		r.await(c, liveBy(tr))
		m.set(errors.New("out of tokens"))
		time.Sleep(4*time.Minute + 50*time.Second)
		require.Equal(t, client.Live, c.State().Phase)
		asked := m.asked()
		require.Greater(t, asked, 4)
		time.Sleep(time.Minute) // during this time, the token expires
		require.Equal(t, client.Waiting, r.await(c, isPhase(client.Waiting)).Phase)
		m.set(nil)
		r.await(c, liveBy(tr))
		m.set(&client.FinalError{Err: errors.New("no more")})
		require.ErrorContains(t, r.ended(c), "no more")
	})
}

// TestRejectedTokenIsReplaced checks that the client calls the source for another token after a
// rejection.
func TestRejectedTokenIsReplaced(t *testing.T) {
	for name, row := range map[string]struct {
		source func(*mint) client.TokenSource
		lives  bool
	}{
		"no source":  {func(*mint) client.TokenSource { return nil }, false},
		"same again": {func(*mint) client.TokenSource { return client.StaticToken("token-number-0") }, false},
		"another":    {func(m *mint) client.TokenSource { return m.source }, true},
		"unknown": {func(m *mint) client.TokenSource {
			return func(ctx context.Context) (client.Token, error) {
				token, err := m.source(ctx)
				return client.Token{Value: "not-" + token.Value}, err
			}
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, tr client.Transport) {
				r := newRig(t, rigConfig{Memory: true})
				r.grant("token-number-0", everything)
				m := &mint{r: r, life: 24 * time.Hour}
				source := row.source(m)
				c := r.client(client.Config{Transport: tr, Token: source})
				if name == "same again" || row.lives {
					state := r.await(c, liveBy(tr))
					require.NoError(t, state.Reason)
					r.mu.Lock()
					var held []*tt.Token
					for _, token := range r.tokens {
						held = append(held, token)
					}
					r.mu.Unlock()
					for _, token := range held {
						token.SetGrant(nil)
					}
				}
				if row.lives {
					r.await(c, func(s client.State) bool { return s.Phase == client.Live && m.asked() == 2 })
					r.publish(0, 1, "a")
					r.reader(c).numbers(0, 1)
					return
				}
				require.Equal(t, 401, r.ended(c).Status)
			})
		})
	}
}

// TestRightWithdrawnIsFinal checks that the client ends with status 403 when its token loses the right to
// subscribe.
func TestRightWithdrawnIsFinal(t *testing.T) {
	bubble(t, func(t *testing.T, tr client.Transport) {
		r := newRig(t, rigConfig{Memory: true})
		r.grant("sesame-open", everything)
		c := r.client(client.Config{Transport: tr, Token: client.StaticToken("sesame-open"), Topics: []string{"a"}})
		r.await(c, liveBy(tr))
		r.revise("sesame-open", &auth.Grant{Subject: "test"})
		require.Equal(t, 403, r.ended(c).Status)
	})
}

// TestIsToken checks that client and hub accept the same tokens.
func TestIsToken(t *testing.T) {
	texts := []string{"", "aZ0-._~", "é", strings.Repeat("a", auth.MaxTokenLen), strings.Repeat("a", auth.MaxTokenLen+1)}
	for c := range 256 {
		texts = append(texts, string([]byte{byte(c)}), string([]byte{'a', byte(c), 'b'}))
	}
	for _, text := range texts {
		require.Equal(t, auth.CheckToken(text) == nil, client.IsToken(text), "%q", text)
	}
}

// TestMalformedTokenIsNotSent checks that the client ends without a request if its token is
// malformed.
func TestMalformedTokenIsNotSent(t *testing.T) {
	for _, token := range []string{"", "with space", "li\nne", "caf\u00e9", string(make([]byte, 9000))} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, rigConfig{Memory: true})
			c := r.client(client.Config{Token: client.StaticToken(token)})
			require.ErrorContains(t, r.ended(c), "the token must be")
			require.Zero(t, r.asked("/ws"))
		})
	}
}

// TestCloseWaitsForTokenSource checks that Close cancels a running call of the source and waits for it.
func TestCloseWaitsForTokenSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, rigConfig{Memory: true})
		over := false
		c := r.client(client.Config{Token: func(ctx context.Context) (client.Token, error) {
			<-ctx.Done()
			time.Sleep(time.Second)
			over = true
			return client.Token{}, ctx.Err()
		}})
		time.Sleep(time.Second)
		c.Close()
		require.True(t, over)
	})
}
