package auth

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/MicahParks/jwkset"

	"github.com/trivium-hub/trivium/hub/jsonscan"
)

// Intervals and limits of fetching a key set.
const (
	fetchTimeout    = 10 * time.Second
	refreshInterval = time.Hour
	// failureInterval is the time after which a failed refresh is retried.
	failureInterval = time.Minute
	// refetchInterval is the minimum time between two fetches caused by tokens with unknown keys.
	// It exists because anyone can send such tokens. After a key rotation, a flood of them can
	// delay the fetch that a valid token needs, by at most this interval. An issuer can easily
	// answer ten fetches per minute.
	refetchInterval = 6 * time.Second
	// firstRetry is the time after which a failed first fetch is repeated. The time doubles with
	// each failure, up to failureInterval.
	firstRetry = time.Second

	maxRedirects = 3
	// maxKeyWaiters is the maximum number of requests that wait for a fetch. Further requests are
	// refused with a retry delay.
	maxKeyWaiters = 256
	// waitersFullRetry is the retry delay that is sent to requests beyond maxKeyWaiters.
	waitersFullRetry = 2 * time.Second
)

// keySet holds the keys that were fetched from the URL of a JWK Set.
type keySet struct {
	url    *url.URL      // immutable
	client *http.Client  // immutable
	log    *slog.Logger  // immutable
	wanted chan struct{} // requests a fetch from run; capacity 1
	ended  chan struct{} // closed when run has ended
	// interval is refetchInterval, except in tests; immutable.
	interval time.Duration

	mu            sync.Mutex
	keys          []key
	everFetched   bool          // at least one fetch succeeded
	lastSucceeded bool          // the last fetch succeeded
	fetching      *pendingFetch // requested or in progress; nil: none
	waiters       int           // number of requests that wait for the fetch in fetching
	refetch       time.Time     // earliest time of a fetch because of an unknown key
	refresh       time.Time     // time of the next regular fetch
}

// pendingFetch is a fetch that was requested or has started, and has not ended yet.
type pendingFetch struct {
	started bool          // the HTTP request was sent, so its answer may lack keys that are published from now on
	ended   chan struct{} // closed when the fetch has ended
	err     error         // set before ended is closed
}

func newPendingFetch() *pendingFetch { return &pendingFetch{ended: make(chan struct{})} }

// ErrPlainHTTP is returned by NewJWT for an http URL of a key set whose host is not loopback, unless AllowHTTP is set.
var ErrPlainHTTP = errors.New("the key set: want an https URL; http is accepted only for a loopback host")

// newKeySet returns the key set of a URL. The URL must be https, or http to a loopback host; if
// allowHTTP is set, it may be http to any host.
func newKeySet(address string, allowHTTP bool, log *slog.Logger) (*keySet, error) {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return nil, errors.New("the key set: want a URL such as https://issuer.example/jwks.json")
	case u.Scheme == "http" && !allowHTTP && !isLoopback(u.Hostname()):
		return nil, ErrPlainHTTP
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DisableKeepAlives = true // there is only one request per hour
	transport.MaxResponseHeaderBytes = 64 << 10
	return &keySet{
		url: u,
		client: &http.Client{
			Transport:     transport,
			Timeout:       fetchTimeout,
			CheckRedirect: checkRedirect,
		},
		log:      log.With("url", u.Scheme+"://"+u.Host+u.EscapedPath()), // without parts that may be secret
		wanted:   make(chan struct{}, 1),
		ended:    make(chan struct{}),
		interval: refetchInterval,
		fetching: newPendingFetch(), // run starts with a fetch
	}, nil
}

// checkRedirect allows redirects from https to https only.
func checkRedirect(r *http.Request, via []*http.Request) error {
	if r.URL.Scheme != "https" || via[0].URL.Scheme != "https" {
		return errors.New("a redirect is followed from https to https only")
	}
	if len(via) > maxRedirects {
		return fmt.Errorf("more than %d redirects", maxRedirects)
	}
	return nil
}

func isLoopback(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback() || host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// Run fetches the keys from the JWK Set URL once per hour, and when a token has an unknown key,
// until the context ends. Without a URL it returns at once. It must be called once, in a goroutine
// of the caller.
func (j *JWT) Run(ctx context.Context) {
	if j.remote != nil {
		j.remote.run(ctx)
	}
}

func (s *keySet) run(ctx context.Context) {
	defer close(s.ended)
	retry := firstRetry
	for {
		s.startFetch()
		err := s.update(ctx)
		if ctx.Err() != nil {
			return
		}
		next := refreshInterval
		switch {
		case err != nil && !s.hasKeys():
			next, retry = retry, min(2*retry, failureInterval)
		case err != nil:
			next = failureInterval
		}
		s.endFetch(err, next)
		if err != nil {
			s.log.Warn("fetching the key set failed", "error", err, "next", next.String())
		}
		timer := time.NewTimer(next)
		select {
		case <-ctx.Done():
		case <-s.wanted:
		case <-timer.C:
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// hasKeys reports whether a fetch has ever succeeded.
func (s *keySet) hasKeys() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.everFetched
}

// startFetch records that a fetch has started.
func (s *keySet) startFetch() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fetching == nil {
		s.fetching = newPendingFetch()
	}
	s.fetching.started = true
	select { // discards a request that was made while the timer fired: this fetch serves it too
	case <-s.wanted:
	default:
	}
}

// endFetch records the result of a fetch and the time until the next one.
func (s *keySet) endFetch(err error, next time.Duration) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastSucceeded = err == nil
	s.everFetched = s.everFetched || s.lastSucceeded
	s.refetch, s.refresh = now.Add(s.interval), now.Add(next)
	s.fetching.err = err
	close(s.fetching.ended)
	s.fetching = nil
}

// checkSignature returns nil if the signature was made with one of the keys. Otherwise it returns a
// wrapped ErrBadToken, or an *UnavailableError if the signature may have been made with a key that
// is not known yet. A token with an unknown key is refused only if a fetch that started after the
// token arrived did not return the key.
func (s *keySet) checkSignature(h header, text string, signature []byte) error {
	s.mu.Lock()
	keys, had, wait := s.keys, s.everFetched, time.Until(s.refresh)
	s.mu.Unlock()
	switch {
	case !had:
		return keysMissing(wait)
	case h.signed(text, signature, keys):
		return nil
	case !h.mayBeNew(keys):
		return errUnsigned
	}
	fetch, fresh, err := s.joinFetch()
	if err != nil {
		return err
	}
	err = s.waitFetch(fetch)
	if err == nil {
		err = fetch.err
	}
	s.mu.Lock()
	keys, wait = s.keys, time.Until(s.refetch)
	s.mu.Unlock()
	switch {
	case h.signed(text, signature, keys):
		return nil
	case err != nil || !fresh:
		return keyPending(wait)
	case h.kid == "":
		return errUnsigned
	}
	return errUnknownKey
}

var (
	errUnsigned   = badToken("its signature does not match any of the keys")
	errUnknownKey = badToken("its key (kid) is not known")
)

// mayBeNew reports whether the token may be signed with a key that is not known yet: its key ID is
// unknown, or the token has no key ID and at least one key of its algorithm has none.
func (h header) mayBeNew(keys []key) bool {
	if h.kid != "" {
		return !slices.ContainsFunc(keys, func(k key) bool { return k.id == h.kid })
	}
	return slices.ContainsFunc(keys, func(k key) bool { return k.id == "" && k.method.Alg() == h.alg })
}

// joinFetch returns the fetch to wait for. If no fetch is pending, it requests one. It counts the
// caller as a waiter, so the caller must call waitFetch. fresh is set if the fetch has not started
// yet. If a fetch is not allowed yet, or too many requests wait already, the error is an
// *UnavailableError.
func (s *keySet) joinFetch() (fetch *pendingFetch, fresh bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fetching == nil {
		if wait := time.Until(s.refetch); wait > 0 {
			return nil, false, keyPending(wait)
		}
		s.fetching = newPendingFetch()
		s.wanted <- struct{}{}
	}
	if s.waiters == maxKeyWaiters {
		return nil, false, keyPending(waitersFullRetry)
	}
	s.waiters++
	return s.fetching, !s.fetching.started, nil
}

// waitFetch blocks until the fetch ends. After fetchTimeout it returns an error.
func (s *keySet) waitFetch(fetch *pendingFetch) error {
	defer func() {
		s.mu.Lock()
		s.waiters--
		s.mu.Unlock()
	}()
	timer := time.NewTimer(fetchTimeout)
	defer timer.Stop()
	select {
	case <-fetch.ended:
		return nil
	case <-s.ended:
	case <-timer.C:
	}
	return ErrUnavailable
}

// update fetches the keys. If the fetch fails, the old keys stay in use.
func (s *keySet) update(ctx context.Context) error {
	text, err := s.fetch(ctx)
	if err != nil {
		return err
	}
	keys, passedOver, err := parseKeySet(text)
	switch {
	case err != nil:
		return err
	case len(keys) == 0:
		return fmt.Errorf("the key set has no usable key (%d unusable); the previous keys stay in use", passedOver)
	}
	s.mu.Lock()
	s.keys = keys
	news := !s.lastSucceeded
	s.mu.Unlock()
	level := slog.LevelDebug
	if news {
		level = slog.LevelInfo
	}
	s.log.Log(ctx, level, "fetched the key set", "keys", len(keys), "passed_over", passedOver)
	return nil
}

func (s *keySet) fetch(ctx context.Context) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url.String(), nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/jwk-set+json, application/json")
	response, err := s.client.Do(request)
	if err != nil {
		var inner *url.Error
		if errors.As(err, &inner) {
			err = inner.Err // the error without the URL, which may contain a secret
		}
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("want status 200, got %d", response.StatusCode)
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, maxKeyFile+1))
	if err == nil && len(text) > maxKeyFile {
		err = fmt.Errorf("want at most %d bytes, got more", maxKeyFile)
	}
	return text, err
}

// parseKeySet parses a JWK Set. It skips keys whose kind is not supported, such as symmetric keys,
// and keys that are not for verification (RFC 7517 section 5). It returns the number of skipped
// keys in passedOver.
func parseKeySet(text []byte) (keys []key, passedOver int, err error) {
	set, err := parseObject(text, "text")
	if err != nil || !bytes.HasPrefix(set["keys"], []byte("[")) {
		return nil, 0, errors.New("want a JSON Web Key Set")
	}
	_ = jsonscan.Elements(set["keys"], func(element []byte) error {
		if k, err := parseJWK(element); err == nil {
			keys = append(keys, k)
		} else {
			passedOver++
		}
		return nil
	})
	if len(keys) > maxKeys {
		return nil, 0, fmt.Errorf("want at most %d keys, got %d", maxKeys, len(keys))
	}
	return keys, passedOver, nil
}

// parseJWK parses a public key. It ignores the members from which the library would read private
// keys, symmetric keys or certificates.
func parseJWK(text []byte) (key, error) {
	var m jwkset.JWKMarshal
	if err := json.Unmarshal(text, &m); err != nil {
		return key{}, err
	}
	parsed, err := jwkset.NewJWKFromMarshal(
		jwkset.JWKMarshal{KTY: m.KTY, CRV: m.CRV, X: m.X, Y: m.Y, N: m.N, E: m.E},
		jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
	if err != nil {
		return key{}, err
	}
	k, err := verifyingKey(parsed.Key())
	switch {
	case err != nil:
		return key{}, err
	case m.USE != "" && m.USE != jwkset.UseSig,
		m.KEYOPS != nil && !slices.Contains(m.KEYOPS, jwkset.KeyOpsVerify),
		m.ALG != "" && m.ALG.String() != k.method.Alg():
		return key{}, errors.New("the key has another use or algorithm")
	}
	k.id = m.KID
	return k, nil
}
