package jetstream

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/trivium-hub/trivium/hub"
)

// How long publishing takes at most. A leader is elected within a few seconds.
const (
	ackTimeout = 5 * time.Second // for one try
	retryTime  = 8 * time.Second // for all of them
	retryWait  = 100 * time.Millisecond
)

// Bounds of what is on its way at once.
const (
	maxBatch   = 1000 // events of an atomic batch: the server's own
	maxBatches = 16   // of one hub: the server takes 50 of all
	maxFlight  = 2048 // messages of PublishEach
)

// Headers of an atomic batch (NATS ADR-50).
const (
	headerBatchID     = "Nats-Batch-Id"
	headerBatchSeq    = "Nats-Batch-Sequence"
	headerBatchCommit = "Nats-Batch-Commit"
)

// Publish implements hub.Engine. At most 1000 events go at once.
func (e *Engine) Publish(ctx context.Context, events []*hub.Event) (hub.Cursor, error) {
	done, err := e.begin()
	if err != nil {
		return hub.Cursor{}, err
	}
	defer done()
	messages, err := e.encodeAll(events)
	if err != nil {
		return hub.Cursor{}, err
	}
	ack, err := e.retry(ctx, isRefused, func(ctx context.Context) (*jetstream.PubAck, error) { return e.put(ctx, messages) })
	if err != nil {
		return hub.Cursor{}, e.failure(err)
	}
	return hub.Cursor{Epoch: e.epoch, Seq: ack.Sequence}, nil
}

func (e *Engine) encodeAll(events []*hub.Event) ([]*nats.Msg, error) {
	if len(events) > maxBatch {
		return nil, &hub.InvalidError{Parameter: "events", Detail: fmt.Sprintf("at most %d may be published at once, these are %d", maxBatch, len(events))}
	}
	messages := make([]*nats.Msg, len(events))
	for i, event := range events {
		messages[i] = e.encode(event)
	}
	return messages, nil
}

// begin holds Close up until done is called.
func (e *Engine) begin() (done func(), err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed || e.js == nil {
		return nil, hub.ErrClosed
	}
	if !e.conn.IsConnected() {
		return nil, errNotConnected
	}
	if e.lost {
		return nil, e.gone
	}
	e.publishing.Add(1)
	return e.publishing.Done, nil
}

// failure is what the hub is told of an error of NATS.
func (e *Engine) failure(err error) error {
	select {
	case <-e.closing.Done():
		return hub.ErrClosed
	default:
		return away(err)
	}
}

// retry tries until it works, the error is one after which it must not be done again, or the time
// is over.
func (e *Engine) retry(ctx context.Context, again func(error) bool, try func(context.Context) (*jetstream.PubAck, error)) (*jetstream.PubAck, error) {
	ctx, cancel := context.WithTimeout(ctx, retryTime)
	defer cancel()
	defer context.AfterFunc(e.closing, cancel)()
	for {
		ack, err := try(ctx)
		if err == nil || !again(err) {
			return ack, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(retryWait):
		}
	}
}

// put sends the messages once and waits for what JetStream says to them.
func (e *Engine) put(ctx context.Context, messages []*nats.Msg) (*jetstream.PubAck, error) {
	ctx, cancel := e.linked(ctx, ackTimeout)
	defer cancel()
	if len(messages) == 1 {
		return e.js.PublishMsg(ctx, messages[0], jetstream.WithRetryAttempts(0))
	}
	select {
	case e.batches <- struct{}{}:
		defer func() { <-e.batches }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	id := nuid.Next()
	last := len(messages) - 1
	for i, m := range messages {
		addHeader(m, headerBatchID, id)
		addHeader(m, headerBatchSeq, strconv.Itoa(i+1))
		if i < last {
			if err := e.conn.PublishMsg(m); err != nil {
				return nil, err
			}
		}
	}
	addHeader(messages[last], headerBatchCommit, "1")
	answer, err := e.conn.RequestMsgWithContext(ctx, messages[last])
	if err != nil {
		return nil, err
	}
	return readAck(answer.Data)
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
		return nil, fmt.Errorf("an acknowledgement that is none: %w", err)
	case answer.Error != nil:
		return nil, answer.Error
	case answer.Sequence == 0:
		return nil, errors.New("an acknowledgement without a sequence")
	}
	return &answer.PubAck, nil
}

// PublishEach implements hub.Streamer. What was not acknowledged is not sent again: what came after
// it may be in the log.
func (e *Engine) PublishEach(ctx context.Context, events []*hub.Event) (hub.Cursor, error) {
	done, err := e.begin()
	if err != nil {
		return hub.Cursor{}, err
	}
	defer done()
	var last hub.Cursor
	var failed error
	stored := 0
	for len(events) > 0 && failed == nil {
		n := min(len(events), maxFlight)
		seq, acked, err := e.send(ctx, events[:n])
		events, stored, failed = events[n:], stored+acked, err
		last = hub.Cursor{Epoch: e.epoch, Seq: max(last.Seq, seq)}
	}
	switch {
	case failed == nil:
		return last, nil
	case stored == 0:
		return hub.Cursor{}, e.failure(failed)
	}
	return last, &hub.PartialError{Stored: stored, Err: e.failure(failed)}
}

// headerOnce says of the first message of a keyed publish how many events it is and what their
// digest is.
const headerOnce = "Trivium-Once"

func onceOf(n int, digest hub.Digest) string { return fmt.Sprintf("%d %x", n, digest) }

// sizeOf reads how many events the first message of a keyed publish is one of; 0 if it is none.
func sizeOf(once string) (n uint64) {
	count, _, _ := strings.Cut(once, " ")
	n, _ = strconv.ParseUint(count, 10, 16)
	return n
}

// keyID names a subject's key, so that nobody can name another's.
func keyID(subject, key string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %s%s", len(subject), subject, key))
	return hex.EncodeToString(sum[:])
}

// PublishOnce implements hub.Deduplicator: the key's ID is the first message's, so JetStream refuses it
// a second time, be it of another hub.
func (e *Engine) PublishOnce(ctx context.Context, subject, key string, digest hub.Digest, events []*hub.Event) (hub.Cursor, error) {
	done, err := e.begin()
	if err != nil {
		return hub.Cursor{}, err
	}
	defer done()
	messages, err := e.encodeAll(events)
	if err != nil {
		return hub.Cursor{}, err
	}
	id, once := keyID(subject, key), onceOf(len(events), digest)
	if before, known := e.keys.find(id); known {
		return e.again(before, once)
	}
	addHeader(messages[0], jetstream.MsgIDHeader, id)
	addHeader(messages[0], headerOnce, once)
	always := func(error) bool { return ctx.Err() == nil }
	var first uint64 // of the publish that was first
	ack, err := e.retry(ctx, always, func(ctx context.Context) (ack *jetstream.PubAck, err error) {
		if ack, err = e.put(ctx, messages); hasCode(err, errDuplicate) {
			first, err = e.firstOf(ctx, id)
			return nil, err
		}
		if err == nil && ack.Duplicate {
			first = ack.Sequence
		}
		return ack, err
	})
	switch {
	case hasCode(err, errInProcess):
		return hub.Cursor{}, hub.ErrKeyBusy
	case err != nil:
		return hub.Cursor{}, e.failure(err)
	case first == 0:
		return hub.Cursor{Epoch: e.epoch, Seq: ack.Sequence}, nil
	}
	return e.answerAgain(ctx, id, keyed{once: once, last: first + uint64(len(events)) - 1}, first)
}

// again gives the answer to the publish that was first once more, if once says the same.
func (e *Engine) again(before keyed, once string) (hub.Cursor, error) {
	if before.once != once {
		return hub.Cursor{}, hub.ErrKeyReused
	}
	return hub.Cursor{Epoch: e.epoch, Seq: before.last}, nil
}

// answerAgain gives the answer to the publish under the ID whose first message is at seq, if now is of
// the same. Where that is no longer in the log and has not come by there is nothing to compare with.
func (e *Engine) answerAgain(ctx context.Context, id string, now keyed, seq uint64) (hub.Cursor, error) {
	ctx, cancel := e.linked(ctx, ackTimeout)
	defer cancel()
	before := now
	switch m, err := e.getLeader(ctx, getRequest{Seq: seq}); {
	case err == nil:
		before.once = m.header.Get(headerOnce)
	case !errors.Is(err, jetstream.ErrMsgNotFound):
		return hub.Cursor{}, e.failure(err)
	default:
		if one, known := e.keys.find(id); known {
			before = one
		}
	}
	return e.again(before, now.once)
}

// firstOf finds the message with the id. Only the answer to a message, not to a batch, names it; so
// one is sent that could not be stored even if the id were unknown.
func (e *Engine) firstOf(ctx context.Context, id string) (uint64, error) {
	probe := &nats.Msg{Subject: e.prefix + "$none", Header: nats.Header{jetstream.MsgIDHeader: {id}}}
	if e.cfg.Replicas == 1 {
		addHeader(probe, jetstream.ExpectedLastMsgIDHeader, "none has this")
	} else {
		// It is refused before it is proposed to the others, which the ID of a message would not be.
		addHeader(probe, jetstream.ExpectedLastSeqHeader, strconv.FormatUint(math.MaxInt64, 10))
	}
	ack, err := e.put(ctx, []*nats.Msg{probe})
	switch {
	case err != nil:
		return 0, err
	case !ack.Duplicate:
		return 0, errors.New("a probe was taken")
	}
	return ack.Sequence, nil
}

func hasCode(err error, code jetstream.ErrorCode) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == code
}
