package connection

import (
	"time"

	"github.com/trivium-hub/trivium/transports/wire"
)

// ending ends a stream.
type ending struct {
	// final returns the last bytes, given the position that the subscriber has by then.
	final   func(id string) []byte
	forGood bool // for good: the client is not meant to resume
}

// Goaway has all that was accepted by now delivered; then the subscriber is told to come back after retry, and the stream ends.
func (w *Writer) Goaway(retry time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed {
		w.scheduleEnd(ending{final: func(id string) []byte { return w.cfg.Codec.AppendGoaway(nil, id, retry) }}, w.sub.Newest().Seq)
	}
}

// Fail ends the stream with an error, without the events that wait.
func (w *Writer) EndWithProblem(p *wire.Problem) {
	w.startEnding(w.problemEnding(p))
}

// failure ends a stream with an error.
func (w *Writer) problemEnding(p *wire.Problem) ending {
	return ending{func(id string) []byte { return w.cfg.Codec.AppendError(nil, id, p) }, !p.Temporary()}
}

// Finish ends the stream with these bytes, without the events that wait.
func (w *Writer) EndWith(final []byte) {
	w.startEnding(ending{func(string) []byte { return final }, true})
}

func (w *Writer) startEnding(e ending) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed {
		w.scheduleEnd(e, 0)
	}
}

// end has e written when the position is at endAt. What was to be said last before stays so.
func (w *Writer) scheduleEnd(e ending, endAt uint64) {
	if w.ending {
		return
	}
	q := w.pending()
	w.ending, q.end, q.endAt = true, e, endAt
	w.startDrain()
}

// Hangup closes the connection as soon as the end of the stream is out; at once if it is, or if
// the stream was not ending.
func (w *Writer) CloseAfterEnd() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ending && w.writing {
		w.closeAfterEnd = true
	} else {
		w.close()
	}
}

// Over reports whether the stream has ended for good, with its last bytes written. Otherwise the
// client is meant to resume, and the end of an HTTP/2 stream must be an error to it.
func (w *Writer) EndedForGood() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.endedForGood
}
