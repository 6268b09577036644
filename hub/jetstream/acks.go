package jetstream

import (
	"bytes"
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/trivium-hub/trivium/hub"
)

// acks receives JetStream's answers to groups of messages. All groups share one subscription.
type acks struct {
	prefix string

	mu     sync.Mutex
	next   uint64
	groups map[uint64]*ackGroup
}

// ackGroup is a group of messages that are sent without waiting for the answer to each of them.
// acks.mu guards all fields except answered.
type ackGroup struct {
	unanswered int
	outcome
	answered chan struct{} // closed when JetStream has answered all messages
}

// outcome summarizes JetStream's answers to a group.
type outcome struct {
	stored   int
	leading  int    // number of messages that were stored before the first failure
	repeated int    // number of messages that were not stored because JetStream knew their IDs
	first    uint64 // lowest sequence of the stored messages; 0: none
	last     uint64 // highest sequence of the stored messages
	failed   error  // reason why the other messages were not stored
}

// listen subscribes to the answers. The subscription ends with the connection.
func (a *acks) listen(conn *nats.Conn) error {
	a.prefix, a.groups = conn.NewInbox()+".", make(map[uint64]*ackGroup)
	_, err := conn.Subscribe(a.prefix+"*", a.onAck)
	return err
}

// add registers a group of n messages, and returns its ID and the reply subject of its messages.
func (a *acks) add(n int) (id uint64, reply string, f *ackGroup) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.next++
	f = &ackGroup{unanswered: n, answered: make(chan struct{})}
	a.groups[a.next] = f
	return a.next, a.prefix + strconv.FormatUint(a.next, 36), f
}

// remove unregisters the group and returns its outcome. The outcome of a message without an answer is unknown.
func (a *acks) remove(id uint64) outcome {
	a.mu.Lock()
	defer a.mu.Unlock()
	f := a.groups[id]
	delete(a.groups, id)
	if f.unanswered > 0 && f.failed == nil {
		f.failed = errors.New("JetStream does not answer")
	}
	return f.outcome
}

func (a *acks) onAck(m *nats.Msg) {
	id, err := strconv.ParseUint(strings.TrimPrefix(m.Subject, a.prefix), 36, 64)
	if err != nil {
		return
	}
	seq, repeated, err := readSeq(m)
	a.mu.Lock()
	defer a.mu.Unlock()
	f := a.groups[id]
	if f == nil {
		return
	}
	f.unanswered--
	switch {
	case repeated:
		f.repeated++
	case err != nil:
		f.failed = err
	default:
		f.stored++
		if f.failed == nil {
			f.leading++
		}
		f.last = max(f.last, seq)
		if f.first == 0 || seq < f.first {
			f.first = seq
		}
	}
	if f.unanswered == 0 {
		close(f.answered)
	}
}

// readSeq decodes an answer of JetStream. It decodes the most frequent format without a JSON parser.
// repeated is set if JetStream knew the message's ID, or is still storing another message with the same
// ID.
func readSeq(m *nats.Msg) (seq uint64, repeated bool, err error) {
	if len(m.Data) == 0 && m.Header.Get("Status") == "503" {
		return 0, false, nats.ErrNoResponders
	}
	const name = `","seq":`
	if _, rest, ok := bytes.Cut(m.Data, []byte(name)); ok && !bytes.Contains(m.Data, []byte(`"error"`)) && !bytes.Contains(m.Data, []byte(`"duplicate"`)) {
		digits := 0
		for digits < len(rest) && '0' <= rest[digits] && rest[digits] <= '9' {
			digits++
		}
		if seq, err := strconv.ParseUint(string(rest[:digits]), 10, 64); err == nil && seq > 0 {
			return seq, false, nil
		}
	}
	ack, err := readAck(m.Data)
	switch {
	case hasCode(err, errInProcess):
		return 0, true, nil
	case err != nil:
		return 0, false, err
	}
	return ack.Sequence, ack.Duplicate, nil
}

// sendGroup sends messages without waiting for the answer to each of them. It sends their IDs if ids is
// not nil. It returns the outcome when all answers have arrived or the timeout is over.
func (e *Engine) sendGroup(ctx context.Context, ids []string, events []*hub.Event) outcome {
	if err := e.retryVerify(ctx, e.verify); err != nil {
		return outcome{failed: err}
	}
	ctx, cancel := e.linked(ctx, e.timeouts.ack)
	defer cancel()
	delivered := e.follows.reached()
	id, reply, group := e.acks.add(len(events))
	var failed error
	for i, event := range events {
		m := e.encode(event)
		m.Reply = reply
		if ids != nil {
			addHeader(m, jetstream.MsgIDHeader, ids[i])
		}
		if failed = e.conn.PublishMsg(m); failed != nil {
			break // messages that were already sent may still be answered
		}
	}
	if failed == nil {
		select {
		case <-group.answered:
		case <-ctx.Done():
		}
	}
	of := e.acks.remove(id)
	if of.first > 0 && of.first <= delivered {
		return outcome{failed: e.reused(ctx, of.first, delivered)}
	}
	of.failed = errors.Join(failed, of.failed, e.server.raise(of.last))
	return of
}
