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
	"golang.org/x/time/rate"
)

// Times of a key set.
const (
	fetchTimeout    = 10 * time.Second
	refreshInterval = time.Hour
	// refetchInterval is the least time between two requests for the sake of unknown key ids, and
	// that after which a refresh that failed is tried again.
	refetchInterval = time.Minute
	// firstRetry is how long after a failure the very first keys are tried for again; twice as long
	// each time, up to refetchInterval.
	firstRetry = time.Second

	maxRedirects = 3
)

// keySet holds the keys of a JWK Set URL.
type keySet struct {
	url    *url.URL      // static
	client *http.Client  // static
	log    *slog.Logger  // static
	wanted chan struct{} // asks for a fetch, cap 1
	ended  chan struct{} // closed when run has ended

	mu      sync.Mutex
	unknown *rate.Limiter // of fetches for the sake of unknown key ids
	keys    []key
	had     bool          // whether a fetch has ever succeeded
	current bool          // whether the last one did
	round   chan struct{} // closed when the fetch that is asked for or under way ends; nil: none is
}

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
		log:     log.With("url", u.Scheme+"://"+u.Host+u.EscapedPath()), // without what may be secret
		wanted:  make(chan struct{}, 1),
		ended:   make(chan struct{}),
		unknown: rate.NewLimiter(rate.Every(refetchInterval), 1),
		round:   make(chan struct{}), // run begins with a fetch
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
		err := s.refresh(ctx)
		if ctx.Err() != nil {
			return
		}
		next := refreshInterval
		switch had := s.finish(err); {
		case err != nil && !had:
			next, retry = retry, min(2*retry, refetchInterval)
		case err != nil:
			next = refetchInterval
		}
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
		s.begin()
	}
}

// begin notes that a fetch is under way.
func (s *keySet) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.round == nil {
		s.round = make(chan struct{})
	}
	select { // the timer and somebody's want may come together: one fetch is for both
	case <-s.wanted:
	default:
	}
}

// finish notes how a fetch went, and tells whether there are keys.
func (s *keySet) finish(err error) (had bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current = err == nil
	s.had = s.had || s.current
	close(s.round)
	s.round = nil
	return s.had
}

// judge says whether one of the keys made the signature: nil, or a wrapped ErrBadToken, or
// ErrUnavailable if the keys that there are don't tell. It waits for a fetch that it asks for, and
// for none else.
func (s *keySet) judge(h header, text string, signature []byte) error {
	s.mu.Lock()
	keys, had := s.keys, s.had
	s.mu.Unlock()
	switch {
	case !had:
		return ErrUnavailable
	case h.signed(text, signature, keys):
		return nil
	case h.kid == "" || slices.ContainsFunc(keys, func(k key) bool { return k.id == h.kid }):
		return bad("its signature is by none of the keys")
	}
	round, err := s.want()
	if err != nil {
		return err
	}
	patience := time.NewTimer(fetchTimeout)
	defer patience.Stop()
	select {
	case <-round:
	case <-s.ended:
		return ErrUnavailable
	case <-patience.C:
		return ErrUnavailable
	}
	s.mu.Lock()
	keys, current := s.keys, s.current
	s.mu.Unlock()
	switch {
	case h.signed(text, signature, keys):
		return nil
	case !current:
		return ErrUnavailable
	}
	return errUnknownKey
}

var errUnknownKey = bad("its key (kid) is not known")

// want asks for a fetch because of an unknown key id, and gives what is closed at its end. The
// error means that none will be made, and is what that makes of the token.
func (s *keySet) want() (round <-chan struct{}, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.round != nil:
		return nil, ErrUnavailable // it may be of the keys that are on their way
	case s.unknown.Allow():
		s.round = make(chan struct{})
		s.wanted <- struct{}{}
		return s.round, nil
	case !s.current:
		return nil, ErrUnavailable
	}
	return nil, errUnknownKey
}

// refresh fetches the keys. If it fails the old ones stay.
func (s *keySet) refresh(ctx context.Context) error {
	text, err := s.fetch(ctx)
	if err != nil {
		return err
	}
	keys, passedOver, err := parseKeySet(text)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.keys = keys
	news := !s.current
	s.mu.Unlock()
	level := slog.LevelDebug
	switch {
	case len(keys) == 0:
		level = slog.LevelWarn
	case news:
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
