package publish

import (
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/intake"
	"github.com/trivium-hub/trivium/transports/web"
	"github.com/trivium-hub/trivium/transports/wire"
)

// stream is one request of events, one a line. It is the reader of its own body, and before it
// waits for more of that it has published what was read.
type stream struct {
	body    io.Reader
	queue   *queue
	line    *intake.Reservation // of the line that is being read
	memory  int                 // bytes that the body takes beside it, reserved with it
	maxLine int                 // bytes
	maxData int                 // bytes
	parse   func(text []byte) (*hub.Event, error)
}

// stream publishes line by line what parse makes of each, which has at most maxLine bytes. An error is a *wire.Problem with the line at fault and the number
// of events that stand.
func (h *Handler) stream(w http.ResponseWriter, r *http.Request, encoding contentEncoding, maxLine int,
	parse func([]byte) (*hub.Event, error),
) (hub.Receipt, error) {
	// The server ends the context of a request whose client has closed its side of the connection:
	// after the last line it may, and waits for its answer. The body tells what came too early.
	ctx, end := context.WithCancelCause(context.WithoutCancel(r.Context()))
	defer end(nil)
	for _, requests := range []context.Context{h.requests, r.Context()} {
		defer context.AfterFunc(requests, func() {
			if endOf(requests) != nil {
				end(context.Cause(requests))
			}
		})()
	}
	access := h.access(r.Context())
	watcher := &streamWatcher{access: access, end: end}
	if problem := access.AcquireUncounted(watcher); problem != nil {
		return hub.Receipt{}, problem
	}
	defer access.Release(watcher)
	line, queued := h.open(r), h.open(r)
	defer line.Close()
	defer queued.Close()
	body, memory := h.reader(w, r.WithContext(ctx), encoding, true, 0)
	s := &stream{
		body:    body,
		memory:  memory,
		queue:   newQueue(ctx, h.hub, access, queued, end),
		line:    line,
		maxLine: maxLine,
		maxData: h.hub.MaxEventSize(),
		parse:   parse,
	}
	number, err := s.run()
	if err == nil {
		return s.queue.receipt, nil
	}
	if r.ProtoMajor == 1 {
		w.Header().Set("Connection", "close") // the rest of the stream is not awaited
	}
	problem := wire.ProblemOf(err)
	problem.Line, problem.Accepted = &number, &s.queue.receipt.Count
	return hub.Receipt{}, problem
}

// streamWatcher ends a stream that waits when its token ends; of one that goes on each line is judged.
type streamWatcher struct {
	access web.Access
	end    context.CancelCauseFunc
}

// Revise implements hub.Holder.
func (w *streamWatcher) OnRightsChanged() {
	if w.access.Grant() == nil {
		w.end(wire.TokenEnded())
	}
}

// run reads to the end of the body, or gives the first line that is refused, and why.
func (s *stream) run() (line int, err error) {
	lines := wire.NewLineReader(s, s.maxLine)
	lines.Reserve(func(size int) error { return resize(s.line, s.memory+size) })
	for err == nil {
		var text []byte
		if text, line, err = lines.Next(); err == nil {
			err = s.add(text, line)
		}
	}
	// What came before this line stands, or was refused before it.
	if line, err := s.queue.finish(); err != nil {
		return line, err
	}
	if errors.Is(err, io.EOF) {
		return 0, nil
	}
	return line, err
}

// Read reads from the body, with nothing left to publish while it waits.
func (s *stream) Read(p []byte) (int, error) {
	if err := s.queue.flush(); err != nil {
		return 0, err
	}
	return s.body.Read(p)
}

// add takes a line. Whether it may be published is judged when its turn has come.
func (s *stream) add(text []byte, line int) error {
	event, err := s.parse(text)
	if err != nil {
		return err
	}
	if err := event.Validate(s.maxData); err != nil {
		return err
	}
	return s.queue.add(event, line)
}
