package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/wire"
)

// maxPublish is the longest array of envelopes (docs/protocol.md#publishing-over-http).
const maxPublish = 1000

// maxReceipt bounds the answer to a publish.
const maxReceipt = 4 << 10 // bytes

// Publish publishes events by HTTP, all or none, at most 1000, and gives the ID of the last. It is
// tried again, with one Idempotency-Key, until ctx is done or the hub has answered for good; of ID
// and Time nothing is sent. Data is JSON unless Encoding says otherwise.
//
// The error is a *Problem if the hub refuses, as Events' if the client has ended, or else tells why
// the last try failed; then the events may have been published or not. A hub remembers a key for two
// minutes: after that a try might publish twice, and is not made.
func (c *Client) Publish(ctx context.Context, events ...Event) (id string, err error) {
	body, err := publication(events)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.ctx, cancel)()
	header := map[string]string{"Content-Type": "application/json", "Idempotency-Key": unique()}
	p := publisher{client: c, request: &Request{Method: "POST", URL: c.address("/publish", ""), Header: header, Body: body}}
	for tries := 0; ; tries++ {
		id, wait, err := p.try(ctx)
		if err == nil || wait < 0 {
			return id, err
		}
		if ctx.Err() == nil {
			p.last = err
		}
		if p.doubtful(err) || !sleep(ctx, max(min(wait, maxHint), backoff(tries, c.cfg.MaxWait))) {
			return "", p.unpublished(ctx)
		}
	}
}

// keyLife is how long one publish is tried again that may have come through: the hub forgets its key
// after two minutes.
const keyLife = 110 * time.Second

var errKeyLife = errors.New("the hub remembers its key no longer")

// publication is the body of a publish: an array of envelopes.
func publication(events []Event) ([]byte, error) {
	if len(events) == 0 || len(events) > maxPublish {
		return nil, wire.BadParameter("body", fmt.Sprintf("must be 1 to %d events, these are %d", maxPublish, len(events)))
	}
	body := []byte{'['}
	for i, e := range events {
		if i > 0 {
			body = append(body, ',')
		}
		if e.Gap != nil {
			return nil, wire.BadParameter("body", fmt.Sprintf("event %d is a gap", i+1))
		}
		if err := checkData(e); err != nil {
			return nil, wire.BadParameter("data", fmt.Sprintf("event %d: %v", i+1, err))
		}
		body = wire.AppendEnvelope(body, &hub.Event{
			Topic: e.Topic, Type: e.Type, Key: e.Key, Data: e.Data, Encoding: e.Encoding,
		})
	}
	return append(body, ']'), nil
}

// checkData holds data to what its encoding says. Within JSON, what is more than one text would be
// members or events of its own, and what is not UTF-8 would be altered in text.
func checkData(e Event) error {
	switch {
	case e.Encoding == JSON && len(e.Data) > 0 && !json.Valid(e.Data):
		return errors.New("must be JSON, or have another Encoding")
	case e.Encoding != Binary && !utf8.Valid(e.Data):
		return errors.New("must be UTF-8, or have the Encoding Binary")
	}
	return nil
}

// publisher is a publish on its way.
type publisher struct {
	client  *Client
	request *Request
	asked   bool      // the source, for a token in place of one that was refused
	doubt   time.Time // when a try ended first that may have come through
	last    error     // of the last try that was not given up
}

// doubtful reports that too much time has gone by since a try that may have come through.
func (p *publisher) doubtful(err error) bool {
	if problem, ok := errors.AsType[*Problem](err); ok && problem.Code != "" {
		return false // the hub itself says that it did not
	}
	if p.doubt.IsZero() {
		p.doubt = time.Now()
	}
	return time.Since(p.doubt) > keyLife
}

// unpublished says why a publish was given up.
func (p *publisher) unpublished(ctx context.Context) error {
	select {
	case <-p.client.done:
		return p.client.end
	default:
	}
	cause := ctx.Err()
	switch {
	case p.client.ctx.Err() != nil:
		return ErrClosed
	case cause == nil:
		cause = errKeyLife
	case p.last == nil:
		return fmt.Errorf("client: publish: %w", cause)
	}
	return fmt.Errorf("client: publish: %w; the last try: %w", cause, p.last)
}

// try tries once. A wait that is negative means that it was for good; otherwise it is how long to
// wait at least.
func (p *publisher) try(ctx context.Context) (id string, wait time.Duration, err error) {
	token, err := p.token(ctx, "")
	for err == nil {
		id, err = p.post(ctx, token)
		problem, ok := errors.AsType[*Problem](err)
		switch {
		case !ok:
			return id, 0, err
		case problem.Status == 401 && p.client.vault.source != nil && !p.asked:
			p.asked = true
			var fresh string
			if fresh, err = p.token(ctx, token); err == nil && fresh == token {
				return "", -1, problem
			}
			token = fresh
		case problem.Status == 409 && problem.Code == wire.CodeKeyBusy, temporary(problem.Status), mayPass(problem):
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

// token gives a token that is not the refused one, if there is another.
func (p *publisher) token(ctx context.Context, refused string) (string, error) {
	v := p.client.vault
	if token := v.value(); v.source == nil || token != refused {
		return token, nil
	}
	call := v.ask()
	select {
	case <-call.done:
		return call.token, call.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// post sends it, and reads the receipt.
func (p *publisher) post(ctx context.Context, token string) (id string, err error) {
	if token != "" {
		p.request.Header["Authorization"] = "Bearer " + token
	}
	ctx, cancel := context.WithTimeout(ctx, publishTimeout+time.Duration(len(p.request.Body)/publishPace)*time.Second)
	defer cancel()
	response, err := p.client.platform.Do(ctx, p.request)
	if err != nil {
		return "", withoutToken(err, token)
	}
	if response.Status != 200 {
		return "", withoutToken(refusal(response), token)
	}
	defer func() { _ = response.Body.Close() }() // all of it that matters has been read
	text, err := io.ReadAll(io.LimitReader(response.Body, maxReceipt))
	if err != nil {
		return "", withoutToken(err, token)
	}
	err = wire.Members(text, func(name string, value []byte) error {
		if name == "id" {
			id, _ = wire.DecodeString(value)
		}
		return nil
	})
	if err != nil || checkID(id) != nil {
		return "", errReceipt
	}
	return id, nil
}

// unique is a name that nobody else gives: 128 random bits. Package uuid would bring all of crypto into
// a page, and the name is no secret.
func unique() string {
	return strconv.FormatUint(rand.Uint64(), 16) + "-" + strconv.FormatUint(rand.Uint64(), 16)
}

// What one try may take: a connection that is dead is found by nothing else.
const (
	publishTimeout = 30 * time.Second
	publishPace    = 32 << 10 // bytes a second of the body; more time is given by it
)

var errReceipt = errors.New("the answer to a publish is no receipt of a hub")

// sleep reports whether d went by before ctx was done.
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
