package client

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strconv"
	"time"

	"github.com/trivium-hub/trivium/transports/wire"
)

const (
	pollPath = "/poll"
	// maxPollWait is how long the hub may wait for something to answer with.
	maxPollWait = 25 * time.Second
	// pollEvents is the most that the hub gives in one answer.
	pollEvents = "1000"
	// pollPause is what lies between two polls if the first had nothing and did not wait, as of a
	// proxy that answers for the hub.
	pollPause = time.Second
)

// pollWait leaves an answer the rest of the silence that counts to be on its way. It is in whole
// seconds.
func pollWait(silence time.Duration) time.Duration {
	return max(time.Second, min(maxPollWait, silence*5/8)).Truncate(time.Second)
}

var errLongAnswer = errors.New("the answer to a poll is too long")

// streamPoll asks again and again (docs/protocol.md#long-poll). Its first request does not wait, so that it
// knows where it stands.
type streamPoll struct {
	ctx    context.Context
	cancel context.CancelFunc
	conn   *conn
	ask    ask
	cursor string
	waits  bool      // the first request is over
	queue  []message // of the last answer
}

func openPoll(ctx context.Context, c *conn, a ask) stream {
	s := &streamPoll{conn: c, ask: a, cursor: a.cursor}
	s.ctx, s.cancel = context.WithCancel(ctx)
	return s
}

func (s *streamPoll) next() (message, error) {
	for len(s.queue) == 0 {
		if err := s.poll(); err != nil {
			return message{}, err
		}
	}
	m := s.queue[0]
	s.queue[0] = message{} // its data may be let go of
	s.queue = s.queue[1:]
	return m, nil
}

func (s *streamPoll) query() query {
	wait := time.Duration(0)
	if s.waits {
		wait = pollWait(s.conn.client.cfg.Silence)
	}
	return s.ask.query().with("max", pollEvents).with("wait", strconv.Itoa(int(wait/time.Second)))
}

// poll asks once.
func (s *streamPoll) poll() error {
	begin := time.Now()
	response, err := s.conn.get(s.ctx, pollPath, s.query(), "application/json", s.cursor)
	if err != nil {
		return err
	}
	if response.Status != 200 || mediaType(response) != "application/json" {
		if p := refusal(response); p.Status != 401 || !s.conn.outdated() {
			return p
		}
		return nil // with the fresh token
	}
	answer, err := s.read(response)
	if err != nil {
		return err
	}
	if err := s.take(answer); err != nil {
		return err
	}
	if after := parseRetryAfter(response.Header("Retry-After"), time.Now()); after > 0 {
		s.queue = append(s.queue, message{kind: goaway, retry: after})
	}
	if len(s.queue) == 0 && time.Since(begin) < pollPause {
		return s.pause()
	}
	return nil
}

func (s *streamPoll) read(response *Response) (wire.PollAnswer, error) {
	defer func() { _ = response.Body.Close() }() // all of it that matters has been read
	body, err := io.ReadAll(io.LimitReader(listened{response.Body, s.conn}, wire.DefaultMaxSSEEvent+1))
	switch {
	case err != nil:
		return wire.PollAnswer{}, err
	case len(body) > wire.DefaultMaxSSEEvent:
		return wire.PollAnswer{}, errLongAnswer
	}
	return wire.DecodePollAnswer(body)
}

// take makes messages of an answer.
func (s *streamPoll) take(answer wire.PollAnswer) error {
	if err := checkID(answer.Cursor); err != nil {
		return err
	}
	reached := s.cursor
	if !s.waits && s.cursor != "" {
		s.queue = append(s.queue, message{id: s.cursor})
	}
	if answer.Gap != nil {
		m := gapMessage(answer.Gap)
		s.queue, reached = append(s.queue, m), m.id
	}
	for _, e := range answer.Events {
		m, err := eventMessage(e)
		if err != nil {
			return err
		}
		m.event.Data = bytes.Clone(m.event.Data) // not to keep the whole answer with it
		s.queue, reached = append(s.queue, m), m.id
	}
	if reached != answer.Cursor {
		s.queue = append(s.queue, message{kind: position, id: answer.Cursor})
	}
	if !s.waits { // there is one message at least
		s.queue[0].kind, s.queue[0].heartbeat = opened, unknown
	}
	s.waits, s.cursor = true, answer.Cursor
	s.ask.last, s.ask.since = 0, ""
	return nil
}

func (s *streamPoll) pause() error {
	timer := time.NewTimer(pollPause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
}

func (s *streamPoll) close() { s.cancel() }
