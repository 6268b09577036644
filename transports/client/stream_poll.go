package client

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strconv"
	"time"

	"github.com/trivium-hub/trivium/transports/internal/wire"
)

const (
	pollPath = "/poll"
	// maxPollWait is the longest wait that the client requests.
	maxPollWait = 25 * time.Second
	// pollEvents is the maximum number of events that the client requests in one answer.
	pollEvents = "1000"
	// pollPause is the pause after a poll that was answered immediately and without events,
	// possibly by a proxy.
	pollPause = time.Second
)

// pollWait returns how long the hub may wait before it answers a poll: 5/8 of the silence limit, in
// whole seconds. The answer must arrive within the rest of the limit.
func pollWait(silence time.Duration) time.Duration {
	return max(time.Second, min(maxPollWait, silence*5/8)).Truncate(time.Second)
}

var errLongAnswer = errors.New("poll answer too long")

// streamPoll reads by long-poll (docs/protocol.md#long-poll). Its first request has wait=0, so that
// the start position is known immediately.
type streamPoll struct {
	ctx       context.Context
	cancel    context.CancelFunc
	conn      *conn
	params    subscribeParams
	cursor    string
	firstDone bool      // the first request has been answered
	queue     []message // messages of the last answer that next has not returned yet
}

func openPoll(ctx context.Context, c *conn, a subscribeParams) stream {
	s := &streamPoll{conn: c, params: a, cursor: a.cursor}
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
	s.queue[0] = message{} // releases the data of the message
	s.queue = s.queue[1:]
	return m, nil
}

func (s *streamPoll) query() query {
	wait := time.Duration(0)
	if s.firstDone {
		wait = pollWait(s.conn.client.cfg.Silence)
	}
	return s.params.query().with("max", pollEvents).with("wait", strconv.Itoa(int(wait/time.Second)))
}

// poll sends one request.
func (s *streamPoll) poll() error {
	begin := time.Now()
	response, err := s.conn.get(s.ctx, pollPath, s.query(), "application/json", s.cursor)
	if err != nil {
		return err
	}
	if response.Status != 200 || mediaType(response) != "application/json" {
		if p := problemOf(response); p.Status != 401 || !s.conn.tokenOutdated() {
			return p
		}
		return nil // the next request sends the new token
	}
	answer, err := s.read(response)
	if err != nil {
		return err
	}
	if err := s.enqueue(answer); err != nil {
		return err
	}
	if after := parseRetryAfter(response.Header("Retry-After"), time.Now()); after > 0 {
		s.queue = append(s.queue, message{kind: kindGoaway, retry: after})
	}
	if len(s.queue) == 0 && time.Since(begin) < pollPause {
		return s.pause()
	}
	return nil
}

func (s *streamPoll) read(response *Response) (wire.PollAnswer, error) {
	defer func() { _ = response.Body.Close() }() // the body has been read
	body, err := io.ReadAll(io.LimitReader(activityReader{response.Body, s.conn}, wire.DefaultMaxSSEEvent+1))
	switch {
	case err != nil:
		return wire.PollAnswer{}, err
	case len(body) > wire.DefaultMaxSSEEvent:
		return wire.PollAnswer{}, errLongAnswer
	}
	return wire.DecodePollAnswer(body)
}

// enqueue converts an answer to messages.
func (s *streamPoll) enqueue(answer wire.PollAnswer) error {
	if err := checkID(answer.Cursor); err != nil {
		return err
	}
	reached := s.cursor
	if !s.firstDone && s.cursor != "" {
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
		m.event.Data = bytes.Clone(m.event.Data) // a copy, so that the whole answer is not kept in memory
		s.queue, reached = append(s.queue, m), m.id
	}
	if reached != answer.Cursor {
		s.queue = append(s.queue, message{kind: kindPosition, id: answer.Cursor})
	}
	if !s.firstDone { // the queue then contains at least one message
		s.queue[0].kind, s.queue[0].heartbeat = kindOpened, heartbeatUnknown
	}
	s.firstDone, s.cursor = true, answer.Cursor
	s.params.last, s.params.since = 0, ""
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
