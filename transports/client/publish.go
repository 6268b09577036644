package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/internal/wire"
	"github.com/trivium-hub/trivium/transports/problems"
)

// maxPublish is the maximum number of events in one request
// (docs/protocol.md#publishing-over-http).
const maxPublish = 1000

// maxPublishAnswer is the maximum number of bytes that Publish reads from an answer.
const maxPublishAnswer = 4 << 10 // bytes

// Publish publishes 1 to 1000 events over HTTP, either all or none, and returns the ID of the last
// one. It retries with the same Idempotency-Key until ctx ends or the hub sends a final answer. It
// does not send the fields ID and Time. Data is JSON unless Encoding is set to another value.
//
// The error is a *Problem if the hub refuses the events, and the error of Events if the client has
// ended. Any other error is the reason of the last failed attempt; it is then unknown whether the
// events were published. The hub remembers a key for two minutes. Publish stops retrying before
// that, because a later attempt could publish the events twice.
func (c *Client) Publish(ctx context.Context, events ...Event) (id string, err error) {
	body, err := encodeEvents(events)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.ctx, cancel)()
	header := map[string]string{"Content-Type": "application/json", "Idempotency-Key": newIdempotencyKey()}
	p := publishCall{client: c, request: &Request{Method: "POST", URL: c.address("/publish", ""), Header: header, Body: body}}
	for tries := 0; ; tries++ {
		begin := time.Now().Round(0) // without the monotonic clock, which may stop while the device is suspended
		id, wait, err := p.try(ctx)
		if err == nil || wait < 0 {
			return id, err
		}
		if ctx.Err() == nil {
			p.lastErr = err
		}
		if p.maybeAcceptedAt.IsZero() && !refusedByHub(err) {
			p.maybeAcceptedAt = begin
		}
		wait = max(min(wait, maxHint), backoff(tries, c.cfg.MaxWait))
		if p.keyLeft() < wait || !sleep(ctx, wait) || p.keyLeft() <= 0 {
			return "", p.giveUpError(ctx)
		}
	}
}

// keyLife is the time for which Publish retries a request that the hub may have accepted. It is
// shorter than the two minutes for which the hub remembers an idempotency key.
const keyLife = 110 * time.Second

var errKeyLife = errors.New("the idempotency key has expired, so another attempt could publish the events twice")

// encodeEvents returns the body of a publish: an array of envelopes.
func encodeEvents(events []Event) ([]byte, error) {
	if len(events) == 0 || len(events) > maxPublish {
		return nil, problems.BadParameter("body", fmt.Sprintf("must be 1 to %d events, got %d", maxPublish, len(events)))
	}
	body := []byte{'['}
	for i, e := range events {
		if i > 0 {
			body = append(body, ',')
		}
		if e.Gap != nil {
			return nil, problems.BadParameter("body", fmt.Sprintf("event %d has a Gap; gaps cannot be published", i+1))
		}
		if err := checkData(e); err != nil {
			return nil, problems.BadParameter("data", fmt.Sprintf("event %d: %v", i+1, err))
		}
		body = wire.AppendEnvelope(body, &hub.Event{
			Topic: e.Topic, Type: e.Type, Key: e.Key, Data: e.Data, Encoding: e.Encoding,
		})
	}
	return append(body, ']'), nil
}

// checkData checks the data against its encoding. Data that is not exactly one JSON text would add
// members or events to the body. Text that is not UTF-8 would be changed in transit.
func checkData(e Event) error {
	switch {
	case e.Encoding == JSON && len(e.Data) > 0 && !json.Valid(e.Data):
		return errors.New("must be JSON unless Encoding is Text or Binary")
	case e.Encoding != Binary && !utf8.Valid(e.Data):
		return errors.New("must be UTF-8 unless Encoding is Binary")
	}
	return nil
}

// publishCall is one call of Publish.
type publishCall struct {
	client          *Client
	request         *Request
	renewedToken    bool      // the TokenSource was called for another token after a rejection
	maybeAcceptedAt time.Time // time of the first attempt that the hub may have accepted; zero: none
	lastErr         error     // error of the last attempt that was not canceled
}

// refusedByHub reports whether the attempt failed because the hub refused the events. If so, the hub
// has accepted none of them.
func refusedByHub(err error) bool {
	problem, ok := errors.AsType[*Problem](err)
	return ok && problem.Code != ""
}

// keyLeft returns the remaining time during which the hub certainly remembers the idempotency key. If the
// hub has refused every attempt so far, the time is not limited.
func (p *publishCall) keyLeft() time.Duration {
	if p.maybeAcceptedAt.IsZero() {
		return math.MaxInt64
	}
	return keyLife - time.Since(p.maybeAcceptedAt)
}

// giveUpError returns the reason why Publish stops retrying.
func (p *publishCall) giveUpError(ctx context.Context) error {
	select {
	case <-p.client.done:
		return p.client.endErr
	default:
	}
	cause := ctx.Err()
	switch {
	case p.client.ctx.Err() != nil:
		return ErrClosed
	case cause == nil:
		cause = errKeyLife
	case p.lastErr == nil:
		return fmt.Errorf("client: publish: %w", cause)
	}
	return fmt.Errorf("client: publish: %w; last attempt: %w", cause, p.lastErr)
}

// try makes one attempt. If wait is negative, the result is final; otherwise wait is the minimum
// delay before the next attempt.
func (p *publishCall) try(ctx context.Context) (id string, wait time.Duration, err error) {
	token, err := p.token(ctx, "")
	for err == nil {
		id, err = p.post(ctx, token)
		problem, ok := errors.AsType[*Problem](err)
		switch {
		case !ok:
			return id, 0, err
		case problem.Status == 401 && p.client.tokens.source != nil && !p.renewedToken:
			p.renewedToken = true
			var fresh string
			if fresh, err = p.token(ctx, token); err == nil && fresh == token {
				return "", -1, problem
			}
			token = fresh
		case problem.Status == 409 && problem.Code == problems.CodeKeyBusy, temporary(problem.Status), fromIntermediary(problem):
			return "", problem.RetryAfter, err
		default:
			return "", -1, err
		}
	}
	if _, final := errors.AsType[*FinalError](err); final {
		wait = -1
	}
	return "", wait, err
}

// token returns the cached token, or the result of another call of the source if that token was refused.
func (p *publishCall) token(ctx context.Context, refused string) (string, error) {
	v := p.client.tokens
	if token := v.value(); v.source == nil || token != refused {
		return token, nil
	}
	call := v.fetchAsync()
	select {
	case <-call.done:
		return call.token, call.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// post sends the request and returns the ID in the answer.
func (p *publishCall) post(ctx context.Context, token string) (id string, err error) {
	if token != "" {
		p.request.Header["Authorization"] = "Bearer " + token
	}
	timeout := publishTimeout + time.Duration(len(p.request.Body)/publishBytesPerSecond)*time.Second
	ctx, cancel := context.WithTimeout(ctx, min(timeout, p.keyLeft()))
	defer cancel()
	response, err := p.client.platform.Do(ctx, p.request)
	if err != nil {
		return "", withoutToken(err, token)
	}
	if response.Status != 200 {
		return "", withoutToken(problemOf(response), token)
	}
	defer func() { _ = response.Body.Close() }() // the body has been read
	text, err := io.ReadAll(io.LimitReader(response.Body, maxPublishAnswer))
	if err != nil {
		return "", withoutToken(err, token)
	}
	id, err = StringMember(text, "id")
	if err != nil || checkID(id) != nil {
		return "", errBadPublishAnswer
	}
	return id, nil
}

// newIdempotencyKey returns 128 random bits. The key is not a secret, and crypto/rand and uuid
// would add much code to a page.
func newIdempotencyKey() string {
	return strconv.FormatUint(rand.Uint64(), 16) + "-" + strconv.FormatUint(rand.Uint64(), 16)
}

// Time limits of one attempt. They are the only way to detect a dead connection.
const (
	publishTimeout        = 30 * time.Second
	publishBytesPerSecond = 32 << 10 // the time limit is extended by the time that the body takes at this rate
)

var errBadPublishAnswer = errors.New("the answer to the publish request is not from a Trivium hub")

// sleep waits for d. It returns false if ctx ends first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
