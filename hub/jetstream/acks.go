package jetstream

import (
	"bytes"
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"

	"github.com/trivium-hub/trivium/hub"
)

// acks takes JetStream's answers to messages that are on their way many at once: one subscription
// for all, and no more than a count for each flight.
type acks struct {
	prefix string

	mu      sync.Mutex
	next    uint64
	flights map[uint64]*flight
}

// flight is messages sent together. Guarded by acks.mu but for landed.
type flight struct {
	left   int
	stored int
	first  uint64 // lowest sequence; 0: none yet
	last   uint64 // highest sequence
	failed error
	landed chan struct{} // closed when all are answered
}

// listen begins to take answers; they end with the connection.
func (a *acks) listen(conn *nats.Conn) error {
	a.prefix, a.flights = conn.NewInbox()+".", make(map[uint64]*flight)
	_, err := conn.Subscribe(a.prefix+"*", a.take)
	return err
}

// begin makes a flight of n messages and the subject for their answers.
func (a *acks) begin(n int) (id uint64, reply string, f *flight) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.next++
	f = &flight{left: n, landed: make(chan struct{})}
	a.flights[a.next] = f
	return a.next, a.prefix + strconv.FormatUint(a.next, 36), f
}

// end forgets the flight and returns what came of it. The outcome of what is not answered yet is unknown.
func (a *acks) end(id uint64) (first, last uint64, stored int, failed error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f := a.flights[id]
	delete(a.flights, id)
	if f.left > 0 && f.failed == nil {
		f.failed = errors.New("JetStream does not answer")
	}
	return f.first, f.last, f.stored, f.failed
}

func (a *acks) take(m *nats.Msg) {
	id, err := strconv.ParseUint(strings.TrimPrefix(m.Subject, a.prefix), 36, 64)
	if err != nil {
		return
	}
	seq, err := ackSeq(m)
	a.mu.Lock()
	defer a.mu.Unlock()
	f := a.flights[id]
	if f == nil {
		return
	}
	if f.left--; err != nil {
		f.failed = err
	} else {
		f.stored++
		f.last = max(f.last, seq)
		if f.first == 0 || seq < f.first {
			f.first = seq
		}
	}
	if f.left == 0 {
		close(f.landed)
	}
}

// ackSeq reads an answer, the usual one without a JSON parser.
func ackSeq(m *nats.Msg) (uint64, error) {
	if len(m.Data) == 0 && m.Header.Get("Status") == "503" {
		return 0, nats.ErrNoResponders
	}
	const name = `","seq":`
	if _, rest, ok := bytes.Cut(m.Data, []byte(name)); ok && !bytes.Contains(m.Data, []byte(`"error"`)) {
		digits := 0
		for digits < len(rest) && '0' <= rest[digits] && rest[digits] <= '9' {
			digits++
		}
		if seq, err := strconv.ParseUint(string(rest[:digits]), 10, 64); err == nil && seq > 0 {
			return seq, nil
		}
	}
	ack, err := readAck(m.Data)
	if err != nil {
		return 0, err
	}
	return ack.Sequence, nil
}

// send has messages on their way all at once, and gives the highest sequence and how many were
// acknowledged.
func (e *Engine) send(ctx context.Context, events []*hub.Event) (seq uint64, acked int, failed error) {
	ctx, cancel := e.linked(ctx, ackTimeout)
	defer cancel()
	if err := e.verify(ctx); err != nil {
		return 0, 0, err
	}
	delivered := e.follows.reached()
	id, reply, flight := e.acks.begin(len(events))
	for _, event := range events {
		m := e.encode(event)
		m.Reply = reply
		if failed = e.conn.PublishMsg(m); failed != nil {
			break // what was sent is answered, or not
		}
	}
	if failed == nil {
		select {
		case <-flight.landed:
		case <-ctx.Done():
		}
	}
	first, seq, acked, unanswered := e.acks.end(id)
	if first > 0 && first <= delivered {
		return 0, 0, e.reused(ctx, first, delivered)
	}
	return seq, acked, errors.Join(failed, unanswered, e.server.raise(seq))
}
