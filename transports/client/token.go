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

	"github.com/trivium-hub/trivium/transports/wire"
)

const (
	// tokenTimeout is how long a TokenSource may take.
	tokenTimeout = 30 * time.Second
	// renewBefore is how long before its end a token is renewed, if that is not too early.
	renewBefore = time.Minute
	// renewPause is the least time between two calls of a source that gave the same token again, and renewLeast
	// that of one which gave another.
	renewPause = 5 * time.Second
	renewLeast = time.Second
	maxToken   = 8 << 10 // bytes, docs/protocol.md#authentication
)

// vault keeps the token and calls its source, once at a time whoever asks. Methods may be called by
// any goroutine. The calls' goroutines are the client's.
type vault struct {
	source  TokenSource     // nil: no token is needed
	ctx     context.Context // of the client
	workers *sync.WaitGroup // of the client
	renewed chan struct{}   // capacity 1: a call has given a token

	mu      sync.Mutex
	present Token
	renewAt time.Time  // zero: never
	call    *tokenCall // under way; nil: none
	closed  bool
}

// tokenCall is one call of the source; what it gave may be read when done is closed.
type tokenCall struct {
	done  chan struct{}
	token string
	err   error
}

func newVault(ctx context.Context, source TokenSource, workers *sync.WaitGroup) *vault {
	return &vault{source: source, ctx: ctx, workers: workers, renewed: make(chan struct{}, 1)}
}

// value is the present token, "" while there is none.
func (v *vault) value() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.present.Value
}

// missing reports that there is no token yet where one is needed.
func (v *vault) missing() bool { return v.source != nil && v.value() == "" }

// due is when to ask for a fresh token; zero is never.
func (v *vault) due() time.Time {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.renewAt
}

// ask joins the call that is under way, or begins one.
func (v *vault) ask() *tokenCall {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.call != nil {
		return v.call
	}
	call := &tokenCall{done: make(chan struct{})}
	if v.closed {
		call.err = ErrClosed
		close(call.done)
		return call
	}
	v.call = call
	v.workers.Go(func() {
		defer close(call.done)
		token, err := v.fetch()
		v.settle(token, err, call)
	})
	return call
}

func (v *vault) fetch() (Token, error) {
	ctx, cancel := context.WithTimeout(v.ctx, tokenTimeout)
	defer cancel()
	token, err := v.source(ctx)
	token.Value = strings.TrimSpace(token.Value) // files and variables end with a line break
	if err == nil {
		err = checkToken(token.Value)
	}
	return token, err
}

func (v *vault) settle(token Token, err error, call *tokenCall) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.call = nil
	if call.token, call.err = token.Value, err; err != nil {
		return
	}
	if token.Ends.IsZero() {
		token.Ends = jwtEnd(token.Value)
	}
	least := renewLeast
	if token.Value == v.present.Value {
		least = renewPause
	}
	v.renewAt = renewal(token, time.Now(), least)
	v.present = token
	select {
	case v.renewed <- struct{}{}:
	default:
	}
}

// close ends the asking: no call begins any more.
func (v *vault) close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.closed = true
}

// renewal returns when a token that was given now is renewed, not before least; zero is never.
func renewal(token Token, now time.Time, least time.Duration) time.Time {
	life := token.Ends.Sub(now)
	if token.Ends.IsZero() || life <= 0 {
		return time.Time{} // if it has ended the hub will say so: clocks differ
	}
	return now.Add(max(life-renewBefore, life*4/5, min(least, life)))
}

// checkToken: the error is final, and does not repeat the token.
func checkToken(token string) error {
	for i := range len(token) {
		switch c := token[i]; {
		case '0' <= c && c <= '9', 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z':
		case c == '.', c == '_', c == '~', c == '-':
		default:
			return &FinalError{Err: errTokenForm}
		}
	}
	if token == "" || len(token) > maxToken {
		return &FinalError{Err: errTokenForm}
	}
	return nil
}

var errTokenForm = errors.New("the token has to be 1 to 8192 of the characters A-Z a-z 0-9 - . _ ~")

// jwtEnd reads "exp" of a JWT (RFC 7519, section 4.1.4), whose signature is the hub's business; zero if
// the token is none or has none.
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
	err = wire.Members(text, func(name string, value []byte) (err error) {
		if name == "exp" {
			end, err = strconv.ParseFloat(string(value), 64)
		}
		return err
	})
	const latest = 1 << 40 // seconds; what is later never comes
	if err != nil || end <= 0 || end > latest {
		return time.Time{}
	}
	seconds, fraction := math.Modf(end)
	return time.Unix(int64(seconds), int64(fraction*1e9))
}
