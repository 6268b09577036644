package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTicketIsValidOnceAndFor30Seconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tickets := NewTickets()
		text, err := tickets.Issue("token")
		require.NoError(t, err)
		time.Sleep(TicketLifetime - 1)
		token, err := tickets.Redeem(t.Context(), netip.Prefix{}, text)
		require.NoError(t, err)
		require.Equal(t, "token", token)
		_, err = tickets.Redeem(t.Context(), netip.Prefix{}, text)
		require.ErrorIs(t, err, ErrTicket, "a ticket is refused the second time")

		text, err = tickets.Issue("token")
		require.NoError(t, err)
		time.Sleep(TicketLifetime)
		_, err = tickets.Redeem(t.Context(), netip.Prefix{}, text)
		require.ErrorIs(t, err, ErrTicket, "an expired ticket is refused")
		for _, text := range []string{"", ".", "x", tickets.ID() + ".", tickets.ID() + ".AAAAAAAAAAAAAAAAAAAAAAAA", strings.Repeat("a", 9000)} {
			_, err := tickets.Redeem(t.Context(), netip.Prefix{}, text)
			require.ErrorIs(t, err, ErrTicket, text)
		}
	})
}

// TestTicketsAreBounded requests as many tickets as the limits allow: first for one token, then for
// many.
func TestTicketsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tickets := NewTickets()
		for range maxTicketsPerToken {
			text, err := tickets.Issue("greedy")
			require.NoError(t, err)
			_, err = tickets.Redeem(t.Context(), netip.Prefix{}, text)
			require.NoError(t, err) // used tickets count as well
		}
		var limit *LimitError
		_, err := tickets.Issue("greedy")
		require.ErrorAs(t, err, &limit)
		_, err = tickets.Issue("another")
		require.NoError(t, err)

		long := strings.Repeat("a", MaxTokenLen-4)
		issued := 0
		for i := range 2 * maxTickets {
			if _, err = tickets.Issue(long + string(rune('a'+i%26)) + string(rune('a'+i/26%26))); err != nil {
				break
			}
			issued++
		}
		require.ErrorAs(t, err, &limit)
		require.LessOrEqual(t, issued*len(long), maxTicketBytes)
		time.Sleep(TicketLifetime)
		_, err = tickets.Issue("greedy")
		require.NoError(t, err)
		require.Len(t, tickets.queue, 1)
		require.Len(t, tickets.byHash, 1)
		require.Len(t, tickets.byToken, 1)
		require.Equal(t, len("greedy"), tickets.bytes)
	})
}

// hubs is a TicketPeers that connects several Tickets with each other. The key is the ID.
type hubs map[string]*Tickets

func (h hubs) AskPeer(_ context.Context, id string, request []byte) ([]byte, error) {
	if h[id] == nil {
		return nil, nil
	}
	return h[id].Answer(request), nil
}

// silent is a TicketPeers in which no hub answers.
type silent struct{}

func (silent) AskPeer(context.Context, string, []byte) ([]byte, error) {
	return nil, errors.New("timeout")
}

func TestTicketIsValidOnceAmongHubs(t *testing.T) { synctest.Test(t, testTicketIsValidOnceAmongHubs) }

func testTicketIsValidOnceAmongHubs(t *testing.T) {
	a, b := NewTickets(), NewTickets()
	peers := hubs{a.ID(): a, b.ID(): b}
	a.SetPeers(peers)
	b.SetPeers(peers)
	text, err := a.Issue("token")
	require.NoError(t, err)
	token, err := b.Redeem(t.Context(), netip.Prefix{}, text)
	require.NoError(t, err)
	require.Equal(t, "token", token)
	for _, hub := range []*Tickets{a, b} {
		_, err = hub.Redeem(t.Context(), netip.Prefix{}, text)
		require.ErrorIs(t, err, ErrTicket)
	}
	text, err = a.Issue("token")
	require.NoError(t, err)
	b.SetPeers(silent{})
	_, err = b.Redeem(t.Context(), netip.Prefix{}, text)
	require.ErrorIs(t, err, ErrUnavailable)
	require.EqualError(t, err, "the hub that issued the ticket does not answer")
	b.SetPeers(peers)
	_, err = b.Redeem(t.Context(), netip.Prefix{}, text)
	require.NoError(t, err, "the ticket stays valid if its hub did not answer")

	gone := NewTickets()
	text, err = gone.Issue("token")
	require.NoError(t, err)
	_, err = b.Redeem(t.Context(), netip.Prefix{}, text)
	require.ErrorIs(t, err, ErrTicket, "a ticket of an unknown hub is refused")
	require.Nil(t, a.Answer([]byte("no hash")))
}

// blocked is a TicketPeers in which no hub answers before the channel is closed.
type blocked chan struct{}

func (b blocked) AskPeer(context.Context, string, []byte) ([]byte, error) {
	<-b
	return nil, nil
}

// TestTicketRequestsAreBounded sends strings that look like tickets of another hub. A client needs
// no token to send such strings.
func TestTicketRequestsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tickets, answered := NewTickets(), make(blocked)
		tickets.SetPeers(answered)
		m := New(Config{Verifier: NewStaticToken("secret", Limits{}), Tickets: tickets})
		own, err := tickets.Issue("secret")
		require.NoError(t, err)
		subscribe := m.WrapSubscription(func(w http.ResponseWriter, _ *http.Request, err error) {
			w.Header().Set("Retry-After", ProblemOf(err).RetryAfter.String())
			w.WriteHeader(ProblemOf(err).Status)
		})(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		ask := func(address, ticket string) *httptest.ResponseRecorder {
			r := httptest.NewRequest(http.MethodGet, "/sse?ticket="+ticket, nil)
			r.RemoteAddr = address + ":1"
			w := httptest.NewRecorder()
			subscribe.ServeHTTP(w, r)
			return w
		}
		foreign := NewTickets().newText()
		var asking sync.WaitGroup
		for i := range maxPeerRequests {
			asking.Go(func() {
				status := ask(fmt.Sprintf("192.0.2.%d", i/maxPeerRequestsPerNetwork), foreign).Code
				assert.Equal(t, http.StatusUnauthorized, status)
			})
			synctest.Wait()
			if i == maxPeerRequestsPerNetwork-1 {
				require.Equal(t, http.StatusServiceUnavailable, ask("192.0.2.0", foreign).Code, "the limit per address is reached")
			}
		}
		refused := ask("192.0.2.200", foreign)
		require.Equal(t, http.StatusServiceUnavailable, refused.Code, "the limit of all addresses is reached")
		retry, err := time.ParseDuration(refused.Header().Get("Retry-After"))
		require.NoError(t, err)
		require.GreaterOrEqual(t, retry, peerRetry)
		require.Equal(t, uint64(2), m.Stats().Refused[LimitTicketRequests])
		require.Equal(t, http.StatusOK, ask("192.0.2.0", own).Code, "a ticket of this hub needs no other hub")
		close(answered)
		asking.Wait()
		require.Equal(t, http.StatusUnauthorized, ask("192.0.2.0", foreign).Code)
		require.Zero(t, tickets.peerRequests)
		require.Empty(t, tickets.byNetwork)
	})
}

// TestTicketHasRightsOfToken checks that the middleware grants a request with a ticket the rights
// of the ticket's token.
func TestTicketHasRightsOfToken(t *testing.T) { synctest.Test(t, testTicketHasRightsOfToken) }

func testTicketHasRightsOfToken(t *testing.T) {
	m := New(Config{Verifier: NewStaticToken("secret", Limits{}), Tickets: NewTickets()})
	var reason error
	refuse := func(w http.ResponseWriter, _ *http.Request, err error) {
		reason = err
		w.WriteHeader(http.StatusTeapot)
	}
	ask := func(handler http.Handler, method, target, authorization string) *httptest.ResponseRecorder {
		reason = nil
		r := httptest.NewRequest(method, target, nil)
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		return w
	}
	served := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		require.NotNil(t, AccessFrom(r.Context()).Grant())
	})
	issue, subscription, publish := m.Ticket(refuse), m.WrapSubscription(refuse)(served), m.Wrap(refuse)(served)
	for _, c := range []struct {
		method, target, authorization string
		want                          error
	}{
		{http.MethodGet, "/ticket", "Bearer secret", ErrTicketMethod},
		{http.MethodPost, "/ticket", "", ErrNoToken},
		{http.MethodPost, "/ticket", "Bearer other", ErrBadToken},
		{http.MethodPost, "/ticket?access_token=secret", "", ErrNotBearer},
		{http.MethodPost, "/ticket?access_token=secret", "Bearer secret", ErrTwoTokens},
	} {
		ask(issue, c.method, c.target, c.authorization)
		require.ErrorIs(t, reason, c.want, "%+v", c)
	}
	ticket := func() string {
		w := ask(issue, http.MethodPost, "/ticket", "Bearer secret")
		require.Equal(t, http.StatusOK, w.Code, reason)
		require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
		_, text, _ := strings.Cut(w.Body.String(), `"ticket":"`)
		text, _, _ = strings.Cut(text, `"`)
		return text
	}
	text := ticket()
	ask(publish, http.MethodPost, "/publish?ticket="+text, "")
	require.ErrorIs(t, reason, ErrNoToken, "other routes accept no ticket")
	ask(subscription, http.MethodGet, "/sse?ticket="+text, "Bearer secret")
	require.ErrorIs(t, reason, ErrTwoTokens)
	ask(subscription, http.MethodGet, "/sse?ticket="+text+"&ticket="+text, "")
	require.ErrorIs(t, reason, ErrTwoTokens)
	w := ask(subscription, http.MethodGet, "/sse?ticket="+text, "")
	require.Equal(t, http.StatusOK, w.Code, reason)
	require.Equal(t, "no-referrer", w.Header().Get("Referrer-Policy"))
	ask(subscription, http.MethodGet, "/sse?ticket="+text, "")
	require.ErrorIs(t, reason, ErrTicket)
	w = ask(subscription, http.MethodGet, "/sse", "Bearer secret")
	require.Equal(t, http.StatusOK, w.Code, "a token is still accepted")

	for range maxTicketsPerToken {
		if w = ask(issue, http.MethodPost, "/ticket", "Bearer secret"); w.Code != http.StatusOK {
			break
		}
	}
	var limit *LimitError
	require.True(t, errors.As(reason, &limit))
	require.Equal(t, uint64(1), m.Stats().Refused[LimitTickets])
}

// TestOpenHubIssuesTicketsWithoutEffect checks that an open hub issues tickets, so that clients
// which request tickets work, but does not store them.
func TestOpenHubIssuesTicketsWithoutEffect(t *testing.T) {
	m := New(Config{Tickets: NewTickets()})
	refuse := func(_ http.ResponseWriter, _ *http.Request, err error) { t.Error(err) }
	w := httptest.NewRecorder()
	m.Ticket(refuse).ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/ticket", nil))
	require.Contains(t, w.Body.String(), `"ticket":"`)
	require.Empty(t, m.config.Tickets.queue)
	w = httptest.NewRecorder()
	m.WrapSubscription(refuse)(http.NotFoundHandler()).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/sse?ticket=a", nil))
	require.Equal(t, http.StatusNotFound, w.Code)
}
