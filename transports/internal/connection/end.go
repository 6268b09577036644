package connection

import (
	"cmp"
	"time"

	"github.com/trivium-hub/trivium/transports/internal/wire"
	"github.com/trivium-hub/trivium/transports/problems"
)

// ending describes how a stream ends.
type ending struct {
	message wire.Message // the last one; its ID is set when it is written
	raw     []byte       // written in place of message, for good; nil: message is
}

// endingOf returns an ending with an error.
func endingOf(p *problems.Problem) ending {
	return ending{message: wire.Message{Op: wire.OpError, Problem: p}}
}

// forGood reports whether the client is not meant to resume.
func (e *ending) forGood() bool { return e.raw != nil || !e.message.Resumable() }

// lastMessage returns the bytes that end the stream.
func (w *Writer) lastMessage() []byte {
	q := w.queued
	if q.end.raw != nil {
		return q.end.raw
	}
	q.end.message.ID = cmp.Or(q.endCursor, w.sub.Cursor())
	return w.cfg.Codec.AppendMessage(nil, q.end.message)
}

// Goaway ends the stream after everything accepted so far is delivered, with a message that asks
// the client to reconnect after retry.
func (w *Writer) Goaway(retry time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed {
		w.scheduleEnd(ending{message: wire.Message{Op: wire.OpGoaway, Retry: retry}}, w.sub.LogPosition().Seq, ClosedByDrain)
	}
}

// EndWithProblem ends the stream with an error message. Unread events are not written.
func (w *Writer) EndWithProblem(p *problems.Problem) {
	w.startEnding(endingOf(p), ClosedRefused)
}

// EndWith ends the stream with these bytes, at least one. Unread events are not written. The log names the reason.
func (w *Writer) EndWith(last []byte, reason Reason) {
	w.startEnding(ending{raw: last}, reason)
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
