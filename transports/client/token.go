package client

import (
	"context"
	"encoding/base64"
	"errors"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/trivium-hub/trivium/hub/jsonscan"
)

const (
	// tokenTimeout is the timeout of a call of a TokenSource.
	tokenTimeout = 30 * time.Second
	// renewBefore is how long before its expiry a token is renewed. A token with a life of less
	// than five minutes is renewed after 4/5 of its life.
	renewBefore = time.Minute
	// minRepeatInterval is the minimum time before a renewal if the last call of the source returned the
	// token that the cache already contained. minRenewInterval is the minimum if the call returned another
	// token.
	minRepeatInterval = 5 * time.Second
	minRenewInterval  = time.Second
)

// tokenCache holds the current token and calls the source. At most one call runs at a time, in a
// goroutine of the wait group workers. The methods are safe for concurrent use.
type tokenCache struct {
	source  TokenSource     // nil if no token is needed
	ctx     context.Context // the client's context
	workers *sync.WaitGroup // the client's workers
	renewed chan struct{}   // capacity 1; signaled after each successful call

	mu          sync.Mutex
	current     Token
	renewAt     time.Time  // zero: never
	pendingCall *tokenCall // the running call; nil if none
	closed      bool
}

// tokenCall is one call of the source. token and err are valid after done is closed.
type tokenCall struct {
	done  chan struct{}
	token string
	err   error
}

func newTokenCache(ctx context.Context, source TokenSource, workers *sync.WaitGroup) *tokenCache {
	return &tokenCache{source: source, ctx: ctx, workers: workers, renewed: make(chan struct{}, 1)}
}

// value returns the current token, or "" if there is none.
func (v *tokenCache) value() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.current.Value
}

// missing reports whether a token is needed and none is cached yet.
func (v *tokenCache) missing() bool { return v.source != nil && v.value() == "" }

// renewalDue returns the time at which the token must be renewed; zero: never.
func (v *tokenCache) renewalDue() time.Time {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.renewAt
}

// fetchAsync starts a call of the source, or returns the running one.
func (v *tokenCache) fetchAsync() *tokenCall {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.pendingCall != nil {
		return v.pendingCall
	}
	call := &tokenCall{done: make(chan struct{})}
	if v.closed {
		call.err = ErrClosed
		close(call.done)
		return call
	}
	v.pendingCall = call
	v.workers.Go(func() {
		defer close(call.done)
		token, err := v.fetch()
		v.store(token, err, call)
	})
	return call
}

func (v *tokenCache) fetch() (Token, error) {
	ctx, cancel := context.WithTimeout(v.ctx, tokenTimeout)
	defer cancel()
	token, err := v.source(ctx)
	token.Value = strings.TrimSpace(token.Value) // tokens from files and variables often end with a line break
	if err == nil {
		err = checkToken(token.Value)
	}
	return token, err
}

// store records the result of a call.
func (v *tokenCache) store(token Token, err error, call *tokenCall) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.pendingCall = nil
	if call.token, call.err = token.Value, err; err != nil {
		return
	}
	if token.Ends.IsZero() {
		token.Ends = jwtEnd(token.Value)
	}
	minInterval := minRenewInterval
	if token.Value == v.current.Value {
		minInterval = minRepeatInterval
	}
	v.renewAt = renewalTime(token, time.Now(), minInterval)
	v.current = token
	select {
	case v.renewed <- struct{}{}:
	default:
	}
}

// close prevents further calls.
func (v *tokenCache) close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.closed = true
}

// renewalTime returns the time at which to renew a token that was received now. A zero time means never.
// Any other time is at least minInterval from now, unless the token expires earlier.
func renewalTime(token Token, now time.Time, minInterval time.Duration) time.Time {
	life := token.Ends.Sub(now)
	if token.Ends.IsZero() || life <= 0 {
		return time.Time{} // the clocks may differ, so the hub decides whether the token has expired
	}
	return now.Add(max(life-renewBefore, life*4/5, min(minInterval, life)))
}

// checkToken returns a *FinalError for a malformed token. The error does not contain the token.
func checkToken(token string) error {
	if !IsToken(token) {
		return &FinalError{Err: errTokenSyntax}
	}
	return nil
}

const maxTokenLen = 8 << 10 // in bytes

// IsToken reports whether a hub accepts the syntax of a token (docs/protocol.md#authentication). Programs can use it to
// check a token that a user has entered.
func IsToken(token string) bool {
	return token != "" && len(token) <= maxTokenLen && escape(token) == token
}

var errTokenSyntax = errors.New("the token must be 1 to 8192 of the characters A-Z a-z 0-9 - . _ ~")

// jwtEnd returns the "exp" claim of a JWT (RFC 7519, section 4.1.4), or zero if token is not a JWT
// or has no such claim. It does not verify the signature, because the hub does.
func jwtEnd(token string) time.Time {
	_, rest, _ := strings.Cut(token, ".")
	payload, signature, ok := strings.Cut(rest, ".")
	if !ok || strings.Contains(signature, ".") {
		return time.Time{}
	}
	text, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil {
		return time.Time{}
	}
	var end float64
	err = jsonscan.ObjectMembers(text, func(name string, value []byte) (err error) {
		if name == "exp" {
			end, err = strconv.ParseFloat(string(value), 64)
		}
		return err
	})
	const latest = 1 << 40 // in seconds; a later expiry is ignored
	if err != nil || end <= 0 || end > latest {
		return time.Time{}
	}
	seconds, fraction := math.Modf(end)
	return time.Unix(int64(seconds), int64(fraction*1e9))
}
