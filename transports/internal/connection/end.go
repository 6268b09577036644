package connection

import (
	"cmp"
	"time"

	"github.com/trivium-hub/trivium/transports/internal/wire"
	"github.com/trivium-hub/trivium/transports/problems"
)

// end describes the last message of a stream, and how the connection is then closed.
type end struct {
	message wire.Message // the last message; its ID is set when it is written
	// If raw is not nil, it is written instead of message, and the client should not resume afterwards.
	raw    []byte
	at     uint64 // seq that the position must reach before the end is written; 0: before the next event
	cursor string // position to send with message; "": the position of the subscription

	thenClose  bool        // whether to close the connection when the end is written
	closeTimer *time.Timer // closes the connection of an unauthorized subscriber
}

// forGood reports whether the client should not resume the stream.
func (e *end) forGood() bool { return e.raw != nil || !e.message.Resumable() }

// problemMessage returns the message for an error.
func problemMessage(p *problems.Problem) wire.Message {
	return wire.Message{Op: wire.OpError, Problem: p}
}

// setEnd schedules message as the last message of the stream. It replaces a last message that was
// scheduled before. The caller must start the drain goroutine.
func (w *Writer) setEnd(message wire.Message) *end {
	if w.end == nil {
		w.end = new(end)
	}
	w.state = stateEnding
	w.end.message, w.end.raw, w.end.at = message, nil, 0
	return w.end
}

// lastBytes returns the bytes that end the stream.
func (w *Writer) lastBytes() []byte {
	if w.end.raw != nil {
		return w.end.raw
	}
	m := w.end.message
	m.ID = cmp.Or(w.end.cursor, w.sub.Cursor())
	return w.cfg.Codec.AppendMessage(nil, m)
}

// Goaway ends the stream with a message that asks the client to reconnect after the given delay. The
// message follows all events that the hub has accepted so far, and the answer to a command that is being
// executed. Like the other methods that end the stream, Goaway does nothing if the last message of the
// stream is already scheduled.
func (w *Writer) Goaway(retry time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.inCommand {
		w.goawayAfter = uint32(max(retry, time.Millisecond) / time.Millisecond)
		return
	}
	w.goaway(retry)
}

// goaway implements Goaway when no command is running. mu must be held.
func (w *Writer) goaway(retry time.Duration) {
	if w.state == stateOpen {
		w.record.SetReason(ClosedByDrain)
		w.setEnd(wire.Message{Op: wire.OpGoaway, Retry: retry}).at = w.sub.LogPosition().Seq
		w.startDrain()
	}
}

// BeginCommand reports whether the peer's command may be executed. It returns false if the end of
// the stream is scheduled. If it returns true, a Goaway is postponed until EndCommand: nothing may be
// written after a goaway, so without the delay the peer might get no answer to its command.
func (w *Writer) BeginCommand() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.inCommand = w.state == stateOpen
	return w.inCommand
}

// EndCommand must be called after the answer to the command was passed to the Writer.
func (w *Writer) EndCommand() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.inCommand = false
	if retry := w.goawayAfter; retry > 0 {
		w.goawayAfter = 0
		w.goaway(time.Duration(retry) * time.Millisecond)
	}
}

// EndWithProblem ends the stream with an error message. Unread events are not written.
func (w *Writer) EndWithProblem(p *problems.Problem) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.state == stateOpen {
		w.record.SetReason(ClosedRefused)
		w.setEnd(problemMessage(p))
		w.startDrain()
	}
}

// EndWith ends the stream by writing the bytes in last, which must not be empty. Unread events are not
// written. reason is for the log.
func (w *Writer) EndWith(last []byte, reason Reason) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.state == stateOpen {
		w.record.SetReason(reason)
		w.setEnd(wire.Message{}).raw = last
		w.startDrain()
	}
}

// CloseAfterEnd closes the connection as soon as the scheduled end of the stream is written. If the
// end is already written, or no end is scheduled, CloseAfterEnd closes the connection at once.
func (w *Writer) CloseAfterEnd() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.writing && w.end != nil {
		w.end.thenClose = true
	} else {
		w.close()
	}
}

// EndedForGood reports whether the end of the stream has been written and the client should not
// resume. If EndedForGood returns false, an HTTP/2 stream must be reset, so that the client sees an
// error and resumes.
func (w *Writer) EndedForGood() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state >= stateEnded && w.end != nil && w.end.forGood()
}
