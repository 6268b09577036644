package websocket

import (
	"sync"
	"time"

	"github.com/trivium-hub/trivium/transports/internal/intake"
	"github.com/trivium-hub/trivium/transports/problems"
)

// uncountedSize is the size, in bytes, up to which the buffer of a message does not count toward
// Config.Intake.
const uncountedSize = 4 << 10

// incomingMessage holds the memory reservation and the timer of an incomplete message. The goroutine that
// reads creates and closes it; lingeringConn.Close also closes it. A small message that arrives in one
// read has no incomingMessage.
type incomingMessage struct {
	reservation *intake.Reservation

	mu     sync.Mutex // guards the fields below
	timer  *time.Timer
	closed bool
}

func (a *incomingMessage) close() {
	a.reservation.Close()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	if a.timer != nil {
		a.timer.Stop()
	}
}

// incomingMessage returns the incomingMessage of the message that is being received. It creates one if
// necessary.
func (s *session) incomingMessage() *incomingMessage {
	if a := s.incoming.Load(); a != nil {
		return a
	}
	a := &incomingMessage{reservation: s.h.cfg.Intake.Open(s.access.Sender(), uncountedSize)}
	s.incoming.Store(a)
	if s.ended.Load() { // lingeringConn.Close may have missed it
		s.finishIncoming()
	}
	return a
}

// finishIncoming closes the incomingMessage, if there is one.
func (s *session) finishIncoming() {
	if s.incoming.Load() == nil {
		return
	}
	if a := s.incoming.Swap(nil); a != nil {
		a.close()
	}
}

// reserve implements receiver.
func (s *session) reserve(size int) *violation {
	switch {
	case size == 0:
		s.finishIncoming()
		return nil
	case size <= uncountedSize:
		return nil
	}
	if err := s.incomingMessage().reservation.Resize(int64(size)); err != nil {
		return &violation{reasonReceiving, tryAgainLater, err.Error()}
	}
	return nil
}

// startMessageTimer is called before the session waits for input. If a message is incomplete, it starts a
// timer that closes the connection unless the rest of the message arrives in time.
func (s *session) startMessageTimer() {
	limit := intake.TimeFor(s.h.cfg.MaxMessage, s.h.cfg.MessageTimeout)
	if s.frames.payload == nil || limit == 0 || s.discardInput {
		return
	}
	a := s.incomingMessage()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.timer == nil && !a.closed {
		a.timer = time.AfterFunc(limit, func() {
			s.h.cfg.Intake.CountLate()
			s.h.cfg.Refusals.counts[reasonReceivingTime].Add(1)
			time.AfterFunc(closeTimeout, s.out.Close) // closes the connection even if the peer does not read
			s.out.EndWithProblem(problems.MessageTimeout(limit))
		})
	}
}
