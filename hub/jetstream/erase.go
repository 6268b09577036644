package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/trivium-hub/trivium/hub"
)

// An event is erased in two steps. First the engine stores an erasure in the stream: a small
// message with the sequence of the event. Every hub that reads the erasure removes the event from
// memory; a hub that was disconnected, or that starts later, reads it later. In the second step the
// engine deletes the event's message from the stream and overwrites it on the disks. Retention
// removes the event before its erasure, because the erasure has the higher sequence. Therefore the
// erasures in the stream show whether a missing message was erased or lost.

// erasedSubject is the subject of erasures, without the stream's prefix. Topics do not begin with
// "$", so no event has this subject.
const erasedSubject = "$erased"

// headerErased is a header of erasures. Its value is the sequence of the erased event.
const headerErased = "Trivium-Erased"

// maxErasures is the maximum number of sequences in an erasures set, 8 bytes each. If there are more,
// the lowest sequences are removed. They are then considered lost, and subscribers may get a gap for
// them.
const maxErasures = 1 << 17

// erasures is the set of sequences that have no event but are not reported as lost: the sequences of
// erased events and of the erasures themselves.
type erasures struct {
	learning sync.Mutex // held while erasures are read from the stream; taken before mu

	mu    sync.Mutex
	seqs  []uint64 // sorted
	known uint64   // all erasures up to this sequence are in seqs
}

// add records the sequences of an erasure (at) and of the event that it erases (seq).
func (s *erasures) add(at, seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range []uint64{seq, at} {
		if i, known := slices.BinarySearch(s.seqs, n); !known {
			s.seqs = slices.Insert(s.seqs, i, n)
		}
	}
	if more := len(s.seqs) - maxErasures; more > 0 {
		s.seqs = slices.Delete(s.seqs, 0, more)
	}
}

func (s *erasures) has(seq uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, known := slices.BinarySearch(s.seqs, seq)
	return known
}

// newestLost returns the newest sequence in (after, through] that was not erased, or the value of after
// if all of them were erased.
func (s *erasures) newestLost(after, through uint64) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, _ := slices.BinarySearch(s.seqs, through+1)
	for ; through > after && i > 0 && s.seqs[i-1] == through; i-- {
		through--
	}
	return through
}

// forget removes the sequences before first, because retention has removed their messages from the
// stream. It keeps the unbroken run of sequences that ends directly before first: a subscriber at one of
// these positions has lost nothing, because there is no lost event between its position and first.
func (s *erasures) forget(first uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, _ := slices.BinarySearch(s.seqs, first)
	for n := first; i > 0 && s.seqs[i-1] == n-1; i-- {
		n--
	}
	s.seqs = slices.Delete(s.seqs, 0, i)
}

// erasureOf reports whether a message of the stream is an erasure, and returns the sequence of the erased event.
func (e *Engine) erasureOf(headers nats.Header, subject string, at uint64) (seq uint64, ok bool) {
	if subject != e.prefix+erasedSubject {
		return 0, false
	}
	seq, err := strconv.ParseUint(headers.Get(headerErased), 10, 64)
	return seq, err == nil && seq > 0 && seq < at
}

// erasedRange returns the log element for a range that ends at seq and contains only erased events.
func (e *Engine) erasedRange(seq uint64) *hub.Event {
	return &hub.Event{ID: hub.Cursor{Epoch: e.epoch, Seq: seq}, Erases: seq}
}

// deletedRange returns the log elements for the range (after, through], in which the leader has no
// messages. This hub may not have read the erasures of the range yet, so deletedRange reads new
// erasures from the leader before it reports a loss. If another replica has messages of the range,
// it returns the elements for these messages instead, which may cover only the first part of the range.
func (e *Engine) deletedRange(ctx context.Context, after, through uint64) ([]*hub.Event, error) {
	lost := e.erased.newestLost(after, through)
	if lost > after {
		if err := e.learnErasures(ctx); err != nil {
			return nil, err
		}
		lost = e.erased.newestLost(after, through)
	}
	if lost > after {
		if held, err := e.readFromOthers(ctx, after, lost); err != nil || len(held) > 0 {
			return held, err
		}
	}
	return e.missing(after, through), nil
}

// missing returns the log elements for (after, through], in which there are no messages. Every
// sequence that is not recorded as erased is considered lost.
func (e *Engine) missing(after, through uint64) (elements []*hub.Event) {
	lost := e.erased.newestLost(after, through)
	if lost > after {
		elements = append(elements, e.lostRange(lost))
	}
	if lost < through {
		elements = append(elements, e.erasedRange(through))
	}
	return elements
}

// learnErasures reads the erasures that were stored since the last call.
func (e *Engine) learnErasures(ctx context.Context) error {
	s := &e.erased
	s.learning.Lock()
	defer s.learning.Unlock()
	for {
		s.mu.Lock()
		next := s.known + 1
		s.mu.Unlock()
		asking, cancel := e.linked(ctx, infoTimeout)
		m, err := e.getFromLeader(asking, getRequest{Seq: next, Next: e.prefix + erasedSubject})
		cancel()
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound):
			return nil
		case err != nil:
			return unavailable(err)
		}
		if seq, ok := e.erasureOf(m.header, m.subject, m.seq); ok {
			s.add(m.seq, seq)
		}
		s.mu.Lock()
		s.known = m.seq
		s.mu.Unlock()
	}
}

// element returns the log element for a message of the stream.
func (e *Engine) element(m stored) *hub.Event {
	if seq, ok := e.erasureOf(m.header, m.subject, m.seq); ok {
		e.erased.add(m.seq, seq)
		event := e.erasedRange(m.seq)
		event.Erases = seq
		return event
	}
	if e.erased.has(m.seq) {
		return e.erasedRange(m.seq) // the second step of the erasure will delete the message
	}
	if event := e.decode(m.header, m.data, m.subject, m.seq, m.time); event != nil {
		return event
	}
	return e.lostRange(m.seq)
}

// Erase implements hub.Eraser. If it fails after the erasure was stored, no hub delivers the event
// any more, but its message is still in the stream. Another call of Erase deletes the message.
func (e *Engine) Erase(ctx context.Context, seq uint64) (at uint64, err error) {
	done, err := e.beginPublish()
	if err != nil {
		return 0, err
	}
	defer done()
	looking, cancel := e.linked(ctx, e.timeouts.ack)
	defer cancel()
	if err := e.verify(looking); err != nil {
		return 0, e.publishError(err)
	}
	m, err := e.getFromLeader(looking, getRequest{Seq: seq})
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return 0, hub.ErrNoEvent
	case err != nil:
		return 0, e.publishError(err)
	case e.decode(m.header, m.data, m.subject, m.seq, m.time) == nil:
		return 0, hub.ErrNoEvent
	}
	if err := e.checkDeleteAllowed(looking); err != nil {
		return 0, e.publishError(err)
	}
	erasure := &nats.Msg{Subject: e.prefix + erasedSubject, Header: nats.Header{headerErased: {strconv.FormatUint(seq, 10)}}}
	ack, err := e.retry(ctx, isRefused, func(ctx context.Context) (*jetstream.PubAck, error) {
		return e.publishVerified(ctx, []*nats.Msg{erasure})
	})
	if err != nil {
		return 0, e.publishError(err)
	}
	if err := e.deleteMessage(ctx, seq); err != nil {
		return 0, e.publishError(err)
	}
	return ack.Sequence, nil
}

// askDelete sends the server a request to delete a message and to overwrite its bytes on all replicas. An error from
// the server is a *jetstream.APIError.
func (e *Engine) askDelete(ctx context.Context, body string) error {
	subject := "$JS.API.STREAM.MSG.DELETE." + e.cfg.Stream
	m, err := e.conn.RequestWithContext(ctx, subject, []byte(body))
	if err != nil {
		if last := e.conn.LastError(); errors.Is(last, nats.ErrPermissionViolation) && strings.Contains(last.Error(), `"`+subject+`"`) {
			return fmt.Errorf("the NATS user may not publish to %q, which is required for erasing", subject)
		}
		return err
	}
	var answer struct {
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return err
	}
	if answer.Error != nil {
		return answer.Error
	}
	return nil
}

// checkDeleteAllowed returns the reason why messages of the stream cannot be deleted, or nil. To
// determine this, it sends an invalid request, which deletes nothing.
func (e *Engine) checkDeleteAllowed(ctx context.Context) error {
	info, err := e.check(ctx)
	if err != nil {
		return err
	}
	if info.Config.DenyDelete {
		return fmt.Errorf("stream %q denies the deletion of messages", e.cfg.Stream)
	}
	if err := e.askDelete(ctx, ""); !errors.As(err, new(*jetstream.APIError)) {
		return err
	}
	return nil // the server rejected the request as invalid, so the user has the right to send it
}

// deleteMessage deletes a message from the stream.
func (e *Engine) deleteMessage(ctx context.Context, seq uint64) error {
	ctx, cancel := e.linked(ctx, e.timeouts.ack)
	defer cancel()
	err := e.askDelete(ctx, fmt.Sprintf(`{"seq":%d}`, seq))
	if err == nil || !errors.As(err, new(*jetstream.APIError)) {
		return err
	}
	if _, left := e.getFromLeader(ctx, getRequest{Seq: seq}); errors.Is(left, jetstream.ErrMsgNotFound) {
		return nil // deleted by another hub or by retention
	}
	return err
}
