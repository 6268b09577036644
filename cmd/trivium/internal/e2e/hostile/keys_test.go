package hostile

import (
	"crypto/rsa"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
)

// keyAttacks concern the URL from which a hub fetches the keys of JWTs, and the revocation of all tokens of a
// subject.
var keyAttacks = []attack{
	{"a key rotation during a flood of JWTs with unknown key IDs (kid)", rotationUnderFlood},
	{"revocation of all tokens of one subject (sub) while events are published", func(t *testing.T, f *testbed) {
		token := f.jwt(map[string]string{"sub": `"revoked by name"`, "jti": ""})
		f.endUnderLoad(t, "revoked-sub", token, http.StatusUnauthorized, func() time.Time {
			f.revoke(t, `sub:"revoked by name"`)
			return time.Now()
		})
	}},
	{"revocation of all tokens of one subject (sub) that were issued before a given time, while events are published", func(t *testing.T, f *testbed) {
		now := time.Now()
		older := f.jwt(map[string]string{"sub": `"renewed"`, "jti": "", "iat": at(now.Add(-time.Minute))})
		newer := f.jwt(map[string]string{"sub": `"renewed"`, "jti": ""})
		f.endUnderLoad(t, "revoked-before", older, http.StatusUnauthorized, func() time.Time {
			f.revoke(t, "sub:renewed before:"+now.Add(-time.Second).UTC().Format(time.RFC3339))
			return time.Now()
		})
		f.requireRefused(t, f.jwt(map[string]string{"sub": `"renewed"`, "jti": "", "iat": ""}))
		f.requireAccepted(t, newer)
	}},
}

// rotatingIssuer serves a set of keys that changes.
type rotatingIssuer struct {
	url     string
	keys    atomic.Pointer[string]
	fetches atomic.Int64
}

func newRotatingIssuer(t *testing.T) *rotatingIssuer {
	i := new(rotatingIssuer)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		i.fetches.Add(1)
		fmt.Fprint(w, *i.keys.Load())
	}))
	t.Cleanup(server.Close)
	i.url = server.URL
	return i
}

func (i *rotatingIssuer) serve(keys map[string]*rsa.PrivateKey) {
	var jwks []string
	for kid, key := range keys {
		jwks = append(jwks, rsaJWK(kid, key))
	}
	set := `{"keys":[` + strings.Join(jwks, ",") + `]}`
	i.keys.Store(&set)
}

// rotationUnderFlood sends many invalid tokens with unknown key IDs. Meanwhile, the hub must accept
// tokens with known keys, and it must accept tokens with a new key after some seconds.
func rotationUnderFlood(t *testing.T, f *testbed) {
	source := newRotatingIssuer(t)
	source.serve(map[string]*rsa.PrivateKey{"old": f.rsa})
	begin := time.Now()
	p := hubtest.Start(t, hubtest.Program(t, []string{"TRIVIUM_JWKS_URL=" + source.url}, slices.Concat(hubtest.AnyPorts, []string{"--jwt-issuer", issuerName})...))
	ask := func(line, token string) *exchange { return f.do(t, request{hub: p, line: line, token: token}) }
	known := f.sign(f.rsa, `{"alg":"RS256","kid":"old"}`, claims(nil))
	require.Eventually(t, func() bool { return ask(pollNow, known).status == http.StatusOK }, hubtest.Patience, 10*time.Millisecond)

	var stop atomic.Bool
	var flood sync.WaitGroup
	for n := range 4 {
		flood.Go(func() {
			f.floodUnknownKeys(t, p, n, func(int) bool {
				time.Sleep(20 * time.Millisecond)
				return !stop.Load()
			})
		})
	}
	defer flood.Wait()
	defer stop.Store(true)
	require.Eventually(t, func() bool { return source.fetches.Load() > 1 }, hubtest.Patience, time.Millisecond)
	source.serve(map[string]*rsa.PrivateKey{"old": f.rsa, "new": f.remoteRSA})
	rotated, fresh := time.Now(), f.sign(f.remoteRSA, `{"alg":"RS256","kid":"new"}`, claims(nil))
	retries := 0
	for ask(pollNow, fresh).status != http.StatusOK {
		f.requireRetryLater(t, p, fresh)
		retries++
		require.Less(t, time.Since(rotated), hubtest.Patience)
		require.Equal(t, http.StatusOK, ask(pollNow, known).status)
		time.Sleep(100 * time.Millisecond)
	}
	t.Logf("a token with the new key was accepted after %v and %d refusals", time.Since(rotated).Round(time.Millisecond), retries)
	require.LessOrEqual(t, source.fetches.Load(), mostFetches(time.Since(begin)))
	t.Logf("%d fetches in %v", source.fetches.Load(), time.Since(begin).Round(time.Second))

	// An issuer that serves an empty set of keys is considered unavailable.
	source.serve(nil)
	fetches := source.fetches.Load()
	require.Eventually(t, func() bool { return source.fetches.Load() > fetches }, hubtest.Patience, 10*time.Millisecond)
	require.Eventually(t, func() bool { return strings.Contains(p.Log(), "has no usable key") }, hubtest.Patience, 10*time.Millisecond)
	require.Equal(t, http.StatusOK, ask(pollNow, known).status)
}

// requireRetryLater sends a valid token, whose key the hub may not know yet, to every route. If the hub
// refuses the token, the answer must be a 503 with Retry-After. For an EventSource or a WebSocket in a
// browser, it must be an answer after which the browser's client retries.
func (f *testbed) requireRetryLater(t *testing.T, p *hubtest.Process, token string) {
	t.Helper()
	for _, target := range tokenRoutes {
		r := request{hub: p, line: target, token: token}
		if strings.HasPrefix(target, "POST") {
			r.body = `{"topic":"hostile","data":1}`
		}
		if x := f.do(t, r); x.status >= 300 {
			require.Equal(t, http.StatusServiceUnavailable, x.status, "%s %s", target, x.body)
			require.NotEmpty(t, x.header.Get("Retry-After"), target)
		}
	}
	x := f.do(t, request{hub: p, line: "GET /sse", token: token, header: []string{"Accept: text/event-stream"}})
	require.Contains(t, x.header.Get("Content-Type"), "text/event-stream")
	x = f.do(t, request{hub: p, line: "GET /ws", token: token, header: []string{"Origin: http://" + p.HTTP}})
	if x.status != http.StatusOK {
		require.Equal(t, []int{http.StatusServiceUnavailable, 1013}, []int{x.status, x.code})
	}
}
