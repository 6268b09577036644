package connection

import (
	"time"

	"github.com/trivium-hub/trivium/transports/problems"
)

// ending describes how a stream ends.
type ending struct {
	// final returns the last bytes. id is the subscriber's position at that time.
	final   func(id string) []byte
	forGood bool // the client is not meant to resume
}

// Goaway ends the stream after everything accepted so far is delivered, with a message that asks
// the client to reconnect after retry.
func (w *Writer) Goaway(retry time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed {
		e := ending{final: func(id string) []byte { return w.cfg.Codec.AppendGoaway(nil, id, retry) }}
		w.scheduleEnd(e, w.sub.LogPosition().Seq, ClosedByDrain)
	}
}

// EndWithProblem ends the stream with an error message. Unread events are not written.
func (w *Writer) EndWithProblem(p *problems.Problem) {
	w.startEnding(w.problemEnding(p), ClosedRefused)
}

// problemEnding returns an ending with an error message.
func (w *Writer) problemEnding(p *problems.Problem) ending {
	return ending{func(id string) []byte { return w.cfg.Codec.AppendError(nil, id, p) }, !p.Temporary()}
}

// EndWith ends the stream with the bytes of final. Unread events are not written. The log names the reason.
func (w *Writer) EndWith(final []byte, reason Reason) {
	w.startEnding(ending{func(string) []byte { return final }, true}, reason)
}

func (w *Writer) startEnding(e ending, reason Reason) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed {
		w.scheduleEnd(e, 0, reason)
	}
}

// scheduleEnd ends the stream with e once the position is at endAt. An end that was scheduled
// before takes precedence.
func (w *Writer) scheduleEnd(e ending, endAt uint64, reason Reason) {
	if w.ending {
		return
	}
	w.record.SetReason(reason)
	q := w.pending()
	w.ending, q.end, q.endAt = true, e, endAt
	w.startDrain()
}

// CloseAfterEnd closes the connection when the end of the stream is written, or at once if it is
// written already or none is scheduled.
func (w *Writer) CloseAfterEnd() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ending && w.writing {
		w.closeAfterEnd = true
	} else {
		w.close()
	}
}

// EndedForGood reports whether the stream has ended with its last bytes written and the client is
// not meant to resume. Otherwise an HTTP/2 stream must be reset, so that the client sees an error.
func (w *Writer) EndedForGood() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.endedForGood
}
