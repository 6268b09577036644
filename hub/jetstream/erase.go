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

// An event is erased in two steps. First an erasure, a small message that names the event's sequence, goes
// into the stream, where every hub finds it: the hub removes the event from its memory, also when it was
// cut off meanwhile or starts later. Then the event's message is deleted from the stream and overwritten on
// the disks. The erasure has the higher sequence, so retention removes it after the event. A hub that knows
// the erasures in the stream can tell the deleted message of an erased event from a lost one.

// erasedSubject is the subject of erasures, after the stream's prefix. No event has it: topics do not begin
// with "$".
const erasedSubject = "$erased"

// headerErased is the header of an erasure: the sequence of the erased event.
const headerErased = "Trivium-Erased"

// maxErasures bounds the sequences that are remembered, 8 bytes each. What is forgotten becomes a gap.
const maxErasures = 1 << 17

// erasures knows the sequences at which the stream has nothing to read though nothing is lost: those of
// erased events and those of the erasures themselves.
type erasures struct {
	learning sync.Mutex // held while the stream is asked; taken before mu

	mu    sync.Mutex
	seqs  []uint64 // sorted
	known uint64   // all erasures up to this sequence were learned
}

// note remembers an erasure and the sequence of its event.
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

// lost returns the newest sequence in (after, through] that was not erased, after itself if all were.
func (s *erasures) newestLost(after, through uint64) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, _ := slices.BinarySearch(s.seqs, through+1)
	for ; through > after && i > 0 && s.seqs[i-1] == through; i-- {
		through--
	}
	return through
}

// forget forgets what retention has removed. It keeps the sequences right before the first of the stream,
// since a subscriber that stands there has lost nothing.
func (s *erasures) forget(first uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, _ := slices.BinarySearch(s.seqs, first)
	for n := first; i > 0 && s.seqs[i-1] == n-1; i-- {
		n--
	}
	s.seqs = slices.Delete(s.seqs, 0, i)
}

// erasureOf reports whether a message of the stream is an erasure, and of which event.
func (e *Engine) erasureOf(headers nats.Header, subject string, at uint64) (seq uint64, ok bool) {
	if subject != e.prefix+erasedSubject {
		return 0, false
	}
	seq, err := strconv.ParseUint(headers.Get(headerErased), 10, 64)
	return seq, err == nil && seq > 0 && seq < at
}

// skipped is the element that stands for all up to seq having been erased.
func (e *Engine) erasedRange(seq uint64) *hub.Event {
	return &hub.Event{ID: hub.Cursor{Epoch: e.epoch, Seq: seq}, Erases: seq}
}

// deletedRange returns the elements that stand for the stream having nothing in (after, through]. Before it calls
// any of it lost it asks the leader for the erasures that this hub does not know yet: an event may be gone
// before the erasure has come by.
func (e *Engine) deletedRange(ctx context.Context, after, through uint64) (elements []*hub.Event, err error) {
	lost := e.erased.newestLost(after, through)
	if lost > after {
		if err := e.learnErasures(ctx); err != nil {
			return nil, err
		}
		lost = e.erased.newestLost(after, through)
	}
	if lost > after {
		elements = append(elements, e.hole(lost))
	}
	if lost < through {
		elements = append(elements, e.erasedRange(through))
	}
	return elements, nil
}

// learnErasures reads the erasures that came into the stream since it was called last.
func (e *Engine) learnErasures(ctx context.Context) error {
	s := &e.erased
	s.learning.Lock()
	defer s.learning.Unlock()
	for {
		s.mu.Lock()
		next := s.known + 1
		s.mu.Unlock()
		asking, cancel := e.linked(ctx, infoTimeout)
		m, err := e.getLeader(asking, getRequest{Seq: next, Next: e.prefix + erasedSubject})
		cancel()
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound):
			return nil
		case err != nil:
			return away(err)
		}
		if seq, ok := e.erasureOf(m.header, m.subject, m.seq); ok {
			s.add(m.seq, seq)
		}
		s.mu.Lock()
		s.known = m.seq
		s.mu.Unlock()
	}
}

// element returns what stands in the log for a message of the stream.
func (e *Engine) element(m stored) *hub.Event {
	if seq, ok := e.erasureOf(m.header, m.subject, m.seq); ok {
		e.erased.add(m.seq, seq)
		event := e.erasedRange(m.seq)
		event.Erases = seq
		return event
	}
	if e.erased.has(m.seq) {
		return e.erasedRange(m.seq) // its message is about to be deleted
	}
	if event := e.decode(m.header, m.data, m.subject, m.seq, m.time); event != nil {
		return event
	}
	return e.hole(m.seq)
}

// Erase implements hub.Eraser. If it fails after the erasure has been published, all hubs have removed the
// event from memory and none serves it, but its message is still in the stream; a further call deletes it.
func (e *Engine) Erase(ctx context.Context, seq uint64) (at uint64, err error) {
	done, err := e.beginPublish()
	if err != nil {
		return 0, err
	}
	defer done()
	looking, cancel := e.linked(ctx, ackTimeout)
	defer cancel()
	if err := e.verify(looking); err != nil {
		return 0, e.publishError(err)
	}
	m, err := e.getLeader(looking, getRequest{Seq: seq})
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

// askDelete sends a request to delete a message, which overwrites its bytes on all replicas. The error of the
// server is an *jetstream.APIError.
func (e *Engine) askDelete(ctx context.Context, body string) error {
	subject := "$JS.API.STREAM.MSG.DELETE." + e.cfg.Stream
	m, err := e.conn.RequestWithContext(ctx, subject, []byte(body))
	if err != nil {
		if last := e.conn.LastError(); errors.Is(last, nats.ErrPermissionViolation) && strings.Contains(last.Error(), `"`+subject+`"`) {
			return fmt.Errorf("the NATS user may not publish to %q, which erasing needs", subject)
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

// checkDeleteAllowed reports why messages of the stream cannot be deleted, with a request that changes nothing.
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
	return nil // a bad request, which the user may send
}

// deleteMessage deletes a message from the stream.
func (e *Engine) deleteMessage(ctx context.Context, seq uint64) error {
	ctx, cancel := e.linked(ctx, ackTimeout)
	defer cancel()
	err := e.askDelete(ctx, fmt.Sprintf(`{"seq":%d}`, seq))
	if err == nil || !errors.As(err, new(*jetstream.APIError)) {
		return err
	}
	if _, left := e.getLeader(ctx, getRequest{Seq: seq}); errors.Is(left, jetstream.ErrMsgNotFound) {
		return nil // by another hub, or by retention
	}
	return err
}
