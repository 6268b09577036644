package auth

import (
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
)

// Times of a key set.
const (
	fetchTimeout    = 10 * time.Second
	refreshInterval = time.Hour
	// failureInterval is the time after which a refresh that failed is tried again.
	failureInterval = time.Minute
	// refetchInterval is the least time between two fetches because of unknown keys. Anybody can
	// send a token that names an unknown key, so this is also how long a flood of them can delay
	// the fetch that a good token waits for after a rotation. Ten fetches a minute do not hurt an
	// issuer.
	refetchInterval = 6 * time.Second
	// firstRetry is the time after which the very first fetch is tried again if it failed. It
	// doubles each time, up to failureInterval.
	firstRetry = time.Second

	maxRedirects = 3
	// maxKeyWaiters bounds how many requests wait for a fetch; further ones are told to come back.
	maxKeyWaiters = 256
	// crowdedRetry is how long those stay away.
	crowdedRetry = 2 * time.Second
)

// keySet holds the keys of a JWK Set URL.
type keySet struct {
	url    *url.URL      // static
	client *http.Client  // static
	log    *slog.Logger  // static
	wanted chan struct{} // asks run for a fetch, cap 1
	ended  chan struct{} // closed when run has ended
	// interval is static: refetchInterval, but in tests.
	interval time.Duration

	mu       sync.Mutex
	keys     []key
	had      bool          // whether a fetch has ever succeeded
	current  bool          // whether the last one did
	fetching *pendingFetch // asked for or under way; nil: none
	waiters  int           // requests that wait for fetching
	refetch  time.Time     // no fetch is made because of an unknown key before
	refresh  time.Time     // when run fetches without being asked
}

// pendingFetch is a fetch of the keys that has not ended.
type pendingFetch struct {
	begun bool          // the request is sent: keys published from now on may be missing in it
	ended chan struct{} // closed at its end
	err   error         // set before ended is closed
}

func newPendingFetch() *pendingFetch { return &pendingFetch{ended: make(chan struct{})} }

// newKeySet takes an https URL, or an http one on a loopback host, or any if allowHTTP.
func newKeySet(address string, allowHTTP bool, log *slog.Logger) (*keySet, error) {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return nil, errors.New("the key set: want a URL such as https://issuer.example/jwks.json")
	case u.Scheme == "http" && !allowHTTP && !isLoopback(u.Hostname()):
		return nil, errors.New("the key set: want a URL of https; http is for a loopback host, or for where it is explicitly allowed")
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DisableKeepAlives = true // a request an hour
	transport.MaxResponseHeaderBytes = 64 << 10
	return &keySet{
		url: u,
		client: &http.Client{
			Transport:     transport,
			Timeout:       fetchTimeout,
			CheckRedirect: checkRedirect,
		},
		log:      log.With("url", u.Scheme+"://"+u.Host+u.EscapedPath()), // without what may be secret
		wanted:   make(chan struct{}, 1),
		ended:    make(chan struct{}),
		interval: refetchInterval,
		fetching: newPendingFetch(), // run begins with a fetch
	}, nil
}

// checkRedirect follows from https to https only.
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

// Run fetches the keys of the JWK Set URL, again every hour and when there is need to, until the
// context ends; at once if there is no URL. It is called once, in a goroutine of the caller.
func (j *JWT) Run(ctx context.Context) {
	if j.remote != nil {
		j.remote.run(ctx)
	}
}

func (s *keySet) run(ctx context.Context) {
	defer close(s.ended)
	retry := firstRetry
	for {
		s.begin()
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
		s.finish(err, next)
		if err != nil {
			s.log.Warn("the keys for tokens could not be fetched", "error", err, "next", next.String())
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
	return s.had
}

// begin notes that a fetch is under way.
func (s *keySet) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fetching == nil {
		s.fetching = newPendingFetch()
	}
	s.fetching.begun = true
	select { // the timer and a request may ask at the same time: one fetch serves both
	case <-s.wanted:
	default:
	}
}

// finish notes how a fetch went, and in how long the next one is due.
func (s *keySet) finish(err error, next time.Duration) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current = err == nil
	s.had = s.had || s.current
	s.refetch, s.refresh = now.Add(s.interval), now.Add(next)
	s.fetching.err = err
	close(s.fetching.ended)
	s.fetching = nil
}

// judge reports whether one of the keys made the signature: nil, a wrapped ErrBadToken, or an
// *UnavailableError if the keys known cannot tell. A token whose key is not known is refused only
// if a fetch that began after the token arrived does not know the key either.
func (s *keySet) judge(h header, text string, signature []byte) error {
	s.mu.Lock()
	keys, had, wait := s.keys, s.had, time.Until(s.refresh)
	s.mu.Unlock()
	switch {
	case !had:
		return keysMissing(wait)
	case h.signed(text, signature, keys):
		return nil
	case !h.mayBeNew(keys):
		return errUnsigned
	}
	fetch, fresh, err := s.join()
	if err != nil {
		return err
	}
	err = s.await(fetch)
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
	errUnsigned   = bad("its signature is by none of the keys")
	errUnknownKey = bad("its key (kid) is not known")
)

// mayBeNew reports whether the token may be signed by a key that is not among those known: one with
// the token's key id, or where the token and keys of its algorithm have no id, one more such key.
func (h header) mayBeNew(keys []key) bool {
	if h.kid != "" {
		return !slices.ContainsFunc(keys, func(k key) bool { return k.id == h.kid })
	}
	return slices.ContainsFunc(keys, func(k key) bool { return k.id == "" && k.method.Alg() == h.alg })
}

// join returns the fetch to wait for, asking for one if none is pending, and counts the request
// among its waiters; await must follow. fresh reports that the fetch has not begun yet. The error is
// an *UnavailableError: no fetch may be made yet, or too many requests wait already.
func (s *keySet) join() (fetch *pendingFetch, fresh bool, err error) {
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
		return nil, false, keyPending(crowdedRetry)
	}
	s.waiters++
	return s.fetching, !s.fetching.begun, nil
}

// await blocks until the fetch has ended, for fetchTimeout at most. The error means that it has not.
func (s *keySet) await(fetch *pendingFetch) error {
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

// update fetches the keys. If it fails the old ones stay.
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
		return fmt.Errorf("the key set has no key that can be used, and %d others; keys known before stay in force", passedOver)
	}
	s.mu.Lock()
	s.keys = keys
	news := !s.current
	s.mu.Unlock()
	level := slog.LevelDebug
	if news {
		level = slog.LevelInfo
	}
	s.log.Log(ctx, level, "fetched the keys for tokens", "keys", len(keys), "passed_over", passedOver)
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
			err = inner.Err // without the URL
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

// parseKeySet reads a JWK Set. Keys that are not for verifying, or not of a kind that the hub
// takes, are passed over (RFC 7517 section 5), symmetric ones among them.
func parseKeySet(text []byte) (keys []key, passedOver int, err error) {
	set, err := parseObject(text, "text")
	var elements []json.RawMessage
	if err != nil || json.Unmarshal(set["keys"], &elements) != nil || elements == nil {
		return nil, 0, errors.New("want a JSON Web Key Set, got something else")
	}
	for _, element := range elements {
		k, err := parseJWK(element)
		if err != nil {
			passedOver++
			continue
		}
		keys = append(keys, k)
	}
	if len(keys) > maxKeys {
		return nil, 0, fmt.Errorf("want at most %d keys, got %d", maxKeys, len(keys))
	}
	return keys, passedOver, nil
}

// parseJWK takes the members of a public key, and not those that would have the library read
// private or symmetric keys, or certificates.
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
		return key{}, errors.New("the key is for something else")
	}
	k.id = m.KID
	return k, nil
}
