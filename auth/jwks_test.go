package auth

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"
)

// issuer simulates an issuer of tokens. It is an http.RoundTripper that serves the keys without a
// network.
type issuer struct {
	t        *testing.T
	requests atomic.Int32

	mu    sync.Mutex
	keys  map[string]crypto.Signer
	err   error         // the error with which every request fails; nil: none
	delay time.Duration // delay before the answer
}

func (i *issuer) set(change func(*issuer)) {
	i.mu.Lock()
	defer i.mu.Unlock()
	change(i)
}

// body returns the key set as JSON.
func (i *issuer) body() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	set := jwkset.JWKSMarshal{Keys: []jwkset.JWKMarshal{}}
	for id, k := range i.keys {
		jwk, err := jwkset.NewJWKFromKey(k.Public(), jwkset.JWKOptions{Metadata: jwkset.JWKMetadataOptions{KID: id}})
		require.NoError(i.t, err)
		set.Keys = append(set.Keys, jwk.Marshal())
	}
	text, err := json.Marshal(set)
	require.NoError(i.t, err)
	return string(text)
}

// RoundTrip answers a request for the key set.
func (i *issuer) RoundTrip(r *http.Request) (*http.Response, error) {
	i.requests.Add(1)
	i.mu.Lock()
	delay, err := i.delay, i.err
	i.mu.Unlock()
	select {
	case <-r.Context().Done():
		return nil, r.Context().Err()
	case <-time.After(delay):
	}
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(i.body()))}, nil
}

// token returns a valid token that is signed with k and contains the given key ID.
func (i *issuer) token(k crypto.Signer, id string) string {
	unsigned := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{"exp": time.Now().Add(24 * time.Hour).Unix()})
	unsigned.Header["kid"] = id
	token, err := unsigned.SignedString(k)
	require.NoError(i.t, err)
	return token
}

// The test checks when the keys are fetched, and whether tokens are accepted before and during a
// fetch.
func TestKeySetFetchTimes(t *testing.T) {
	_, _, first := signers(t)
	_, _, second := signers(t)
	synctest.Test(t, func(t *testing.T) {
		source := &issuer{t: t, keys: map[string]crypto.Signer{"first": first}, err: errors.New("unavailable")}
		var log strings.Builder
		j, err := NewJWT(JWTConfig{
			JWKSURL: "https://user:pw@issuer.invalid/jwks?secret",
			Keys:    Keys{Secret: []byte(strings.Repeat("s", 32))},
			Log:     slog.New(slog.NewTextHandler(&log, nil)),
		})
		require.NoError(t, err)
		j.remote.client.Transport = source
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		defer running.Wait()
		defer cancel()

		requested := int32(0)
		requests := func(n int32, why string) {
			t.Helper()
			synctest.Wait()
			require.Equal(t, requested+n, source.requests.Load(), why)
			requested += n
		}
		verify := func(token string, want error) {
			t.Helper()
			_, err := j.Verify(t.Context(), nil, token)
			if want == nil {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, want)
		}
		good, rotated, forged := source.token(first, "first"), source.token(second, "second"), source.token(second, "first")

		// The issuer is unavailable from the start. Retries follow 1, 3, 7, 15, 31, 63, 123 and 183
		// s after the first fetch.
		verify(good, ErrUnavailable)
		requests(0, "no fetch before Run")
		running.Go(func() { j.Run(ctx) })
		requests(1, "the first fetch is immediate")
		for _, wait := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
			time.Sleep(wait*time.Second - time.Millisecond)
			verify(good, ErrUnavailable)
			requests(0, "no fetch before the retry delay has passed")
			time.Sleep(time.Millisecond)
			requests(1, "one retry after the delay")
		}
		mintAndVerify(t, j, []byte(strings.Repeat("s", 32)), NewSecretKey)
		source.set(func(i *issuer) { i.err = nil })
		time.Sleep(time.Minute)
		requests(1, "one fetch for the first keys")
		verify(good, nil)
		verify(forged, ErrBadToken)
		requests(0, "no fetch for known keys")

		// The next regular fetch is an hour later.
		time.Sleep(time.Hour - time.Millisecond)
		requests(0, "no regular fetch within an hour")
		time.Sleep(time.Millisecond)
		requests(1, "a regular fetch after an hour")

		// Unknown key IDs cause one fetch per interval, regardless of their number.
		verify(rotated, ErrUnavailable)
		time.Sleep(refetchInterval)
		verify(rotated, ErrBadToken)
		for range 100 {
			verify(rotated, ErrUnavailable)
		}
		requests(1, "one fetch for an unknown key ID")
		time.Sleep(refetchInterval - time.Millisecond)
		verify(rotated, ErrUnavailable)
		requests(0, "no fetch within the interval")
		time.Sleep(time.Millisecond)
		source.set(func(i *issuer) { i.keys["second"], i.delay = second, 5*time.Second })
		for range 3 {
			running.Go(func() { verify(rotated, nil) })
		}
		synctest.Wait()
		started := time.Now()
		verify(good, nil)
		require.Equal(t, started, time.Now(), "a token with a known key does not wait for the fetch")
		time.Sleep(5 * time.Second)
		synctest.Wait()
		verify(rotated, nil)
		requests(1, "one fetch for all unknown keys")

		// The issuer is unavailable again, and slow. The old keys stay in use.
		source.set(func(i *issuer) { i.err, i.delay = errors.New("unavailable"), time.Hour })
		time.Sleep(refetchInterval)
		started = time.Now()
		verify(source.token(first, "third"), ErrUnavailable)
		require.Equal(t, fetchTimeout, time.Since(started))
		verify(source.token(first, "third"), ErrUnavailable)
		verify(good, nil)
		requests(1, "one fetch for the third key")
		source.set(func(i *issuer) { i.err, i.delay = nil, 0; delete(i.keys, "first") })
		time.Sleep(failureInterval)
		requests(1, "a retry one minute after a failure")
		verify(rotated, nil)
		verify(good, ErrUnavailable)
		time.Sleep(refetchInterval)
		verify(good, ErrBadToken)
		requests(1, "one fetch for the removed key")

		// The hub shuts down while a request waits.
		source.set(func(i *issuer) { i.delay = time.Hour })
		time.Sleep(time.Minute)
		running.Go(func() { verify(source.token(first, "fourth"), ErrUnavailable) })
		synctest.Wait()
		started = time.Now()
		cancel()
		running.Wait()
		require.Equal(t, started, time.Now())
		verify(source.token(first, "fifth"), ErrUnavailable)

		require.Equal(t, 10, strings.Count(log.String(), "level=WARN"))
		require.Equal(t, 2, strings.Count(log.String(), "level=INFO"), "one info line for the first success and one after the failures")
		require.NotContains(t, log.String(), "secret")
		require.NotContains(t, log.String(), "pw")
	})
}

// If the answer is not a valid key set, the keys stay unchanged.
func TestInvalidKeySetChangesNothing(t *testing.T) {
	_, _, k := signers(t)
	source := &issuer{t: t, keys: map[string]crypto.Signer{"k": k}}
	set := source.body()
	one := strings.TrimSuffix(strings.TrimPrefix(set, `{"keys":[`), `]}`)
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, set)
	}))
	defer plain.Close()
	mux := http.NewServeMux()
	answer := func(path, body string) {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) })
	}
	tests := map[string]string{
		"/missing":     "want status 200, got 404",
		"/nothing":     "want status 200, got 204",
		"/error":       "want status 200, got 500",
		"/to-http":     "a redirect is followed from https to https only",
		"/to-file":     "a redirect is followed from https to https only",
		"/round":       "more than 3 redirects",
		"/huge":        "want at most 1048576 bytes, got more",
		"/many":        "want at most 100 keys, got 101",
		"/html":        "want a JSON Web Key Set",
		"/empty":       "want a JSON Web Key Set",
		"/null":        "want a JSON Web Key Set",
		"/list":        "want a JSON Web Key Set",
		"/other":       "want a JSON Web Key Set",
		"/keys-null":   "want a JSON Web Key Set",
		"/keys-object": "want a JSON Web Key Set",
		"/KEYS":        "want a JSON Web Key Set",
		"/twice":       "want a JSON Web Key Set",
		"/cut":         "unexpected EOF",
		"/good":        "",
		"/to-https":    "",
	}
	mux.HandleFunc("/nothing", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("/error", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, set, http.StatusInternalServerError) })
	mux.Handle("/to-http", http.RedirectHandler(plain.URL, http.StatusFound))
	mux.Handle("/to-file", http.RedirectHandler("file:///etc/passwd", http.StatusFound))
	mux.Handle("/to-https", http.RedirectHandler("/good", http.StatusTemporaryRedirect))
	mux.Handle("/round", http.RedirectHandler("/round", http.StatusFound))
	mux.HandleFunc("/huge", func(w http.ResponseWriter, _ *http.Request) {
		for spaces := strings.Repeat(" ", 1<<16); ; {
			if _, err := io.WriteString(w, spaces); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("/cut", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "10000")
		_, _ = io.WriteString(w, set)
	})
	answer("/many", `{"keys":[`+strings.Repeat(one+",", 100)+one+`]}`)
	answer("/html", "<html>")
	answer("/empty", "")
	answer("/null", "null")
	answer("/list", "["+one+"]")
	answer("/other", `{"error":"try later"}`)
	answer("/keys-null", `{"keys":null}`)
	answer("/keys-object", `{"keys":`+one+`}`)
	answer("/KEYS", `{"KEYS":[`+one+`]}`)
	answer("/twice", `{"keys":[],"keys":[`+one+`]}`)
	answer("/good", set)

	server := httptest.NewTLSServer(mux)
	defer server.Close()
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	old := []key{{id: "old"}}
	for path, want := range tests {
		s, err := newKeySet(server.URL+path, false, slog.New(slog.DiscardHandler))
		require.NoError(t, err)
		s.client.Timeout = 3 * time.Minute // a busy machine may need longer than fetchTimeout
		require.ErrorContains(t, s.update(t.Context()), "certificate signed by unknown authority")
		s.client.Transport.(*http.Transport).TLSClientConfig.RootCAs = roots
		s.keys = old
		err = s.update(t.Context())
		if want == "" {
			require.NoError(t, err, path)
			require.Len(t, s.keys, 1)
			require.Equal(t, "k", s.keys[0].id)
			continue
		}
		require.EqualError(t, err, want, path)
		require.Equal(t, old, s.keys, path)
	}
}

func TestKeySetURL(t *testing.T) {
	const plainHTTP = "the key set: want an https URL; http is accepted only for a loopback host"
	const noURL = "the key set: want a URL such as https://issuer.example/jwks.json"
	for address, want := range map[string]string{
		"https://issuer.example":           "",
		"HTTPS://issuer.example/a?b":       "",
		"http://127.0.0.1:8080/jwks":       "",
		"http://127.8.9.1":                 "",
		"http://[::1]/":                    "",
		"http://localhost:1":               "",
		"http://issuer.LOCALHOST.":         "",
		"http://issuer.example/":           plainHTTP,
		"http://10.0.0.1/":                 plainHTTP,
		"http://127.0.0.1.evil.test/":      plainHTTP,
		"http://localhost.evil.test/":      plainHTTP,
		"http://127.0.0.1@evil.test/":      plainHTTP,
		"http://evillocalhost/":            plainHTTP,
		"ftp://issuer.example/":            noURL,
		"file:///etc/passwd":               noURL,
		"issuer.example/jwks.json":         noURL,
		"https:///jwks.json":               noURL,
		"https:issuer.example":             noURL,
		"https://issuer.example:port/":     noURL,
		"https://issuer.example/\x7f":      noURL,
		"https://[::1/":                    noURL,
		" https://issuer.example/jwks.jso": noURL,
	} {
		_, err := NewJWT(JWTConfig{JWKSURL: address})
		_, allowed := NewJWT(JWTConfig{JWKSURL: address, AllowHTTP: true})
		if want == "" {
			require.NoError(t, err, address)
			require.NoError(t, allowed, address)
			continue
		}
		require.EqualError(t, err, want, address)
		require.Equal(t, want != plainHTTP, allowed != nil, address)
	}
}

// The test fetches the keys from a server on a loopback port.
func TestKeySetOverHTTP(t *testing.T) {
	_, _, k := signers(t)
	source := &issuer{t: t, keys: map[string]crypto.Signer{"k": k}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		require.Empty(t, r.Header.Get("Authorization"))
		_, _ = io.WriteString(w, source.body())
	}))
	defer server.Close()
	j, err := NewJWT(JWTConfig{JWKSURL: server.URL + "/jwks.json", Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { j.Run(ctx) })
	require.Eventually(t, func() bool {
		_, err := j.Verify(t.Context(), nil, source.token(k, "k"))
		return err == nil
	}, 3*time.Minute, time.Millisecond)
	cancel()
	running.Wait()
}

// parseJWK never returns a key of an unsupported kind.
func FuzzJWK(f *testing.F) {
	var set struct{ Keys []json.RawMessage }
	require.NoError(f, json.Unmarshal(readVectors(f).JWKS, &set))
	for _, jwk := range set.Keys {
		f.Add([]byte(jwk))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		k, err := parseJWK(text)
		if err != nil {
			return
		}
		require.Contains(t, []string{algRS256, algES256, algEdDSA}, k.method.Alg())
		_, err = verifyingKey(k.value)
		require.NoError(t, err)
		require.Error(t, k.method.Verify("text", make([]byte, 64), k.value))
	})
}
