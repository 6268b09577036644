package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/trivium-hub/trivium/hub"
)

// retryWait is the pause between two attempts of the same request.
const retryWait = 100 * time.Millisecond

// Limits of publishes. Messages that were sent, but not answered by JetStream yet, are unacked.
const (
	maxBatch        = 1000      // events of an atomic batch; the limit of nats-server
	maxBatches      = 16        // concurrent atomic batches of one hub; nats-server allows 50 for all its clients
	maxUnacked      = 2048      // most unacked messages of a call of PublishEach
	maxUnackedBytes = 256 << 10 // most unacked bytes of an atomic batch; four times as many for PublishEach
)

// Headers of an atomic batch (NATS ADR-50).
const (
	headerBatchID     = "Nats-Batch-Id"
	headerBatchSeq    = "Nats-Batch-Sequence"
	headerBatchCommit = "Nats-Batch-Commit"
)

// Publish implements hub.Engine. It accepts at most maxBatch events.
func (e *Engine) Publish(ctx context.Context, events []*hub.Event) (hub.Cursor, error) {
	done, err := e.beginPublish()
	if err != nil {
		return hub.Cursor{}, err
	}
	defer done()
	messages, err := e.encodeAll(events)
	if err != nil {
		return hub.Cursor{}, err
	}
	leave, err := e.enterLane(ctx, events)
	if err != nil {
		return hub.Cursor{}, err
	}
	defer leave()
	ack, err := e.retry(ctx, isRefused, func(ctx context.Context) (*jetstream.PubAck, error) { return e.publishVerified(ctx, messages) })
	if err != nil {
		return hub.Cursor{}, e.publishError(err)
	}
	return hub.Cursor{Epoch: e.epoch, Seq: ack.Sequence}, nil
}

// enterLane blocks until a lane has room, for at most timeouts.retry. If it returns an error, nothing
// was sent.
func (e *Engine) enterLane(ctx context.Context, events []*hub.Event) (leave func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, e.timeouts.retry)
	defer cancel()
	defer context.AfterFunc(e.closing, cancel)()
	if leave, err = e.lanes.enter(ctx, events); err != nil && e.closing.Err() != nil {
		err = hub.ErrClosed
	}
	return leave, err
}

func (e *Engine) encodeAll(events []*hub.Event) ([]*nats.Msg, error) {
	if len(events) > maxBatch {
		return nil, &hub.InvalidError{Parameter: "events", Detail: fmt.Sprintf("at most %d events may be published at once, got %d", maxBatch, len(events))}
	}
	messages := make([]*nats.Msg, len(events))
	for i, event := range events {
		messages[i] = e.encode(event)
	}
	return messages, nil
}

// beginPublish returns an error if publishing is not possible. Otherwise the caller must call done when
// the publish has ended, because Close waits for that call.
func (e *Engine) beginPublish() (done func(), err error) {
	e.mu.Lock()
	if e.closed || e.js == nil {
		e.mu.Unlock()
		return nil, hub.ErrClosed
	}
	e.publishing.Add(1)
	e.mu.Unlock()
	switch {
	case !e.conn.IsConnected():
		err = errNotConnected
	case e.rights.lacks(e.noSubject()):
		err = unavailable(missingRights([]string{e.noSubject()}))
	default:
		err = e.publishUnavailable()
	}
	if err != nil {
		e.publishing.Done()
		return nil, err
	}
	return e.publishing.Done, nil
}

// publishError converts an error of NATS to one of the hub.
func (e *Engine) publishError(err error) error {
	select {
	case <-e.closing.Done():
		return hub.ErrClosed
	default:
		return unavailable(err)
	}
}

// retry calls the function try until it succeeds. It stops earlier if again(err) is false, if publishing is
// unavailable, if timeouts.retry is over, or if ctx or the engine ends.
func (e *Engine) retry(ctx context.Context, again func(error) bool, try func(context.Context) (*jetstream.PubAck, error)) (*jetstream.PubAck, error) {
	ctx, cancel := context.WithTimeout(ctx, e.timeouts.retry)
	defer cancel()
	defer context.AfterFunc(e.closing, cancel)()
	for {
		ack, err := try(ctx)
		if err == nil || !again(err) || e.publishUnavailable() != nil {
			return ack, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(retryWait):
		}
	}
}

// errUnverified is returned if nothing was sent because it is unknown whether the stream still
// contains the delivered events.
var errUnverified = errors.New("nothing was published, because the hub could not check that the stream still has the delivered events")

// publishVerified sends the messages once and waits for JetStream's answer. If the answer shows
// that JetStream has assigned a sequence a second time, the engine fails.
func (e *Engine) publishVerified(ctx context.Context, messages []*nats.Msg) (*jetstream.PubAck, error) {
	verifying, cancel := e.linked(ctx, e.timeouts.ack)
	err := e.verify(verifying)
	cancel()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnverified, err)
	}
	delivered := e.follows.reached()
	ack, err := e.publishMessages(ctx, messages)
	if err == nil && !ack.Duplicate && ack.Sequence-uint64(len(messages)-1) <= delivered {
		return nil, e.reused(ctx, ack.Sequence, delivered)
	}
	if err == nil {
		err = e.server.raise(ack.Sequence)
	}
	return ack, err
}

func (e *Engine) publishMessages(ctx context.Context, messages []*nats.Msg) (*jetstream.PubAck, error) {
	if len(messages) == 1 {
		ctx, cancel := e.linked(ctx, e.timeouts.ack)
		defer cancel()
		return e.js.PublishMsg(ctx, messages[0], jetstream.WithRetryAttempts(0))
	}
	select {
	case e.batches <- struct{}{}:
		defer func() { <-e.batches }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	id := nuid.Next()
	last, size := len(messages)-1, 0
	for i, m := range messages[:last] {
		addHeader(m, headerBatchID, id)
		addHeader(m, headerBatchSeq, strconv.Itoa(i+1))
		if size += len(m.Data) + messageOverhead; size < maxUnackedBytes {
			if err := e.conn.PublishMsg(m); err != nil {
				return nil, err
			}
			continue
		}
		// Wait until JetStream has processed these messages. Otherwise other publishes would queue
		// behind the whole batch.
		size = 0
		if answer, err := e.requestMsg(ctx, m); err != nil {
			return nil, err
		} else if len(answer) > 0 {
			return readAck(answer) // an answer before the end of the batch contains the reason for its rejection
		}
	}
	m := messages[last]
	addHeader(m, headerBatchID, id)
	addHeader(m, headerBatchSeq, strconv.Itoa(last+1))
	addHeader(m, headerBatchCommit, "1")
	answer, err := e.requestMsg(ctx, m)
	if err != nil {
		return nil, err
	}
	return readAck(answer)
}

// requestMsg sends a message and returns the data of the answer.
func (e *Engine) requestMsg(ctx context.Context, m *nats.Msg) ([]byte, error) {
	ctx, cancel := e.linked(ctx, e.timeouts.ack)
	defer cancel()
	answer, err := e.conn.RequestMsgWithContext(ctx, m)
	if err != nil {
		return nil, err
	}
	return answer.Data, nil
}

func addHeader(m *nats.Msg, name, value string) {
	if m.Header == nil {
		m.Header = make(nats.Header)
	}
	m.Header.Set(name, value)
}

func readAck(data []byte) (*jetstream.PubAck, error) {
	var answer struct {
		jetstream.PubAck
		Error *jetstream.APIError `json:"error"`
	}
	switch err := json.Unmarshal(data, &answer); {
	case err != nil:
		return nil, fmt.Errorf("decode an acknowledgement: %w", err)
	case answer.Error != nil:
		return nil, answer.Error
	case answer.Sequence == 0:
		return nil, errors.New("acknowledgement without a sequence")
	}
	return &answer.PubAck, nil
}

// PublishEach implements hub.BatchPublisher. A message without an answer is not sent again, because
// later messages may already be stored.
func (e *Engine) PublishEach(ctx context.Context, events []*hub.Event) (hub.Cursor, error) {
	last, _, err := e.publishEach(ctx, nil, events)
	return last, err
}

// PublishUnique implements hub.UniquePublisher. JetStream rejects an ID that any hub has sent before.
// An embedded server is used by only one hub, which checks the IDs itself, so the IDs are not sent.
func (e *Engine) PublishUnique(ctx context.Context, ids []string, events []*hub.Event) (repeated int, err error) {
	if e.cfg.Store != "" {
		ids = nil
	}
	_, repeated, err = e.publishEach(ctx, ids, events)
	return repeated, err
}

// UniquePeriod returns the time for which JetStream remembers an ID.
func (e *Engine) UniquePeriod() time.Duration { return e.streamConfig().Duplicates }

func (e *Engine) publishEach(ctx context.Context, ids []string, events []*hub.Event) (last hub.Cursor, repeated int, err error) {
	done, err := e.beginPublish()
	if err != nil {
		return hub.Cursor{}, 0, err
	}
	defer done()
	all := e.sendAll(ctx, ids, events)
	last = hub.Cursor{Epoch: e.epoch, Seq: all.last}
	switch {
	case all.failed == nil:
		return last, all.repeated, nil
	case all.stored == 0:
		return hub.Cursor{}, all.repeated, e.publishError(all.failed)
	}
	return last, all.repeated, &hub.PartialError{Stored: all.stored, Err: e.publishError(all.failed)}
}

// PublishInOrder implements hub.OrderedPublisher. The embedded server stores messages in the order in
// which they are sent, and stores none after a failed write. In a cluster, a message may fail although
// the next one is stored. For a cluster, PublishInOrder therefore calls Publish.
func (e *Engine) PublishInOrder(ctx context.Context, events []*hub.Event) (hub.Cursor, error) {
	if e.cfg.Store == "" || len(events) == 1 {
		return e.Publish(ctx, events)
	}
	done, err := e.beginPublish()
	if err != nil {
		return hub.Cursor{}, err
	}
	defer done()
	leave, err := e.enterLane(ctx, events)
	if err != nil {
		return hub.Cursor{}, err
	}
	defer leave()
	all := e.sendAll(ctx, nil, events)
	last := hub.Cursor{Epoch: e.epoch, Seq: all.last}
	switch {
	case all.failed == nil:
		return last, nil
	case all.leading == 0:
		return hub.Cursor{}, e.publishError(all.failed)
	}
	return last, &hub.PartialError{Stored: all.leading, Err: e.publishError(all.failed)}
}

// sendAll sends the events in groups until one group fails.
func (e *Engine) sendAll(ctx context.Context, ids []string, events []*hub.Event) (all outcome) {
	for len(events) > 0 && all.failed == nil {
		n := groupSize(events)
		var of outcome
		if ids == nil {
			of = e.sendGroup(ctx, nil, events[:n])
		} else {
			of = e.sendGroup(ctx, ids[:n], events[:n])
			ids = ids[n:]
		}
		events = events[n:]
		all = outcome{stored: all.stored + of.stored, leading: all.leading + of.leading, repeated: all.repeated + of.repeated, last: max(all.last, of.last), failed: of.failed}
	}
	return all
}

// groupSize returns the number of events, at least 1, that may be sent without waiting for an
// answer.
func groupSize(events []*hub.Event) int {
	n, size := 0, 0
	for n < min(len(events), maxUnacked) {
		if size += len(events[n].Data) + messageOverhead; n > 0 && size > 4*maxUnackedBytes {
			break
		}
		n++
	}
	return n
}

func hasCode(err error, code jetstream.ErrorCode) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == code
}
