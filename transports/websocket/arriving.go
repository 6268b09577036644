package websocket

import (
	"sync"
	"time"

	"github.com/trivium-hub/trivium/transports/intake"
	"github.com/trivium-hub/trivium/transports/wire"
)

// freeMessage is what of a message always has room: it does not count toward the budget.
const freeMessage = 4 << 10 // bytes

// arriving is the memory and the time of a message that has yet to arrive as a whole. A small message
// that comes in one piece needs none. The reader opens and closes it; so does the end of the connection.
type arriving struct {
	held *intake.Reservation

	mu    sync.Mutex // guards what follows
	timer *time.Timer
	over  bool
}

func (a *arriving) close() {
	a.held.Close()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.over = true
	if a.timer != nil {
		a.timer.Stop()
	}
}

// arrival returns what is kept of the message that is arriving.
func (s *session) arrival() *arriving {
	if a := s.arriving.Load(); a != nil {
		return a
	}
	a := &arriving{held: s.h.cfg.Intake.Open(s.access.Sender(), freeMessage)}
	s.arriving.Store(a)
	if s.ended.Load() { // lingering.Close has not seen it
		s.arrived()
	}
	return a
}

// arrived gives back what the message had.
func (s *session) arrived() {
	if s.arriving.Load() == nil {
		return
	}
	if a := s.arriving.Swap(nil); a != nil {
		a.close()
	}
}

// reserve implements receiver.
func (s *session) reserve(size int) *violation {
	switch {
	case size == 0:
		s.arrived()
		return nil
	case size <= freeMessage:
		return nil
	}
	if err := s.arrival().held.Resize(int64(size)); err != nil {
		return &violation{reasonReceiving, tryAgainLater, err.Error()}
	}
	return nil
}

// limitTime has the connection closed if the rest of a message does not arrive in time. It is
// called before the reader waits.
func (s *session) limitTime() {
	limit := intake.TimeFor(s.h.cfg.MaxMessage, s.h.cfg.MessageTimeout)
	if s.frames.payload == nil || limit == 0 || s.deaf {
		return
	}
	a := s.arrival()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.timer == nil && !a.over {
		a.timer = time.AfterFunc(limit, func() {
			s.h.cfg.Intake.Late()
			s.h.cfg.Refusals.counts[reasonReceivingTime].Add(1)
			time.AfterFunc(closeTimeout, s.out.Close) // whether or not it has taken its last words
			s.out.EndWithProblem(wire.MessageTimeout(limit))
		})
	}
}
