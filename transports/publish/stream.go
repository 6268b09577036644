package publish

import (
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/trivium-hub/trivium/auth"
	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/internal/intake"
	"github.com/trivium-hub/trivium/transports/internal/wire"
	"github.com/trivium-hub/trivium/transports/problems"
)

// stream reads the body of a request with one event per line. Before it waits for more input, it starts
// to publish the lines that it has read.
type stream struct {
	body            io.Reader
	queue           *queue
	lineReservation *intake.Reservation // memory for the line that is being read and for the reader of the body
	bodyMemory      int                 // memory of the reader of the body, in bytes
	maxLine         int                 // size limit for a line, in bytes
	maxData         int                 // size limit for the data of an event, in bytes
	parse           func(text []byte) (*hub.Event, error)
}

// publishStream publishes the lines of a body, each of which may have at most maxLine bytes. It calls
// parse to parse a line. The error is a *problems.Problem, which contains the number of the refused line
// and the number of accepted events.
func (h *Handler) publishStream(w http.ResponseWriter, r *http.Request, encoding contentEncoding, maxLine int,
	parse func([]byte) (*hub.Event, error),
) (hub.Receipt, error) {
	// The request's own context cannot be used: net/http cancels it when the client closes its write
	// side, and a client may do this after its last line and still wait for the answer. If the client
	// disconnects, reads of the body return an error.
	ctx, end := context.WithCancelCause(context.WithoutCancel(r.Context()))
	defer end(nil)
	for _, requests := range []context.Context{h.requests, r.Context()} {
		defer context.AfterFunc(requests, func() {
			if endError(requests) != nil {
				end(context.Cause(requests))
			}
		})()
	}
	access := auth.AccessFrom(r.Context())
	watcher := &tokenWatcher{access: access, end: end}
	if problem := access.AcquireUncounted(watcher); problem != nil {
		return hub.Receipt{}, problem
	}
	defer access.Release(watcher)
	line, queued := h.openReservation(r), h.openReservation(r)
	defer line.Close()
	defer queued.Close()
	body, memory := h.bodyReader(w, r.WithContext(ctx), encoding, true, 0)
	queue := newQueue(ctx, h.hub, access, queued, end)
	queue.published = h.published
	s := &stream{
		body:            body,
		bodyMemory:      memory,
		queue:           queue,
		lineReservation: line,
		maxLine:         maxLine,
		maxData:         h.hub.MaxEventSize(),
		parse:           parse,
	}
	number, err := s.run()
	if err == nil {
		return s.queue.receipt, nil
	}
	if r.ProtoMajor == 1 {
		w.Header().Set("Connection", "close") // the rest of the stream will not be read
	}
	problem := problems.Of(err)
	problem.Line, problem.Accepted = &number, &s.queue.receipt.Count
	return hub.Receipt{}, problem
}

// tokenWatcher is the auth.Holder of a stream. It cancels the stream when the token ends, even while the
// stream waits for input. A change of rights needs no action, because each line is authorized when it is
// published.
type tokenWatcher struct {
	access auth.Access
	end    context.CancelCauseFunc
}

// OnRightsChanged implements auth.Holder.
func (w *tokenWatcher) OnRightsChanged() {
	if w.access.Grant() == nil {
		w.end(problems.TokenEnded())
	}
}

// run reads the body to its end and publishes its lines. If a line is refused, it returns the number of
// the line and the error.
func (s *stream) run() (line int, err error) {
	lines := wire.NewLineReader(s, s.maxLine)
	lines.Reserve(func(size int) error { return resizeReservation(s.lineReservation, s.bodyMemory+size) })
	for err == nil {
		var text []byte
		if text, line, err = lines.Next(); err == nil {
			err = s.add(text, line)
		}
	}
	// If publishing an earlier line has failed, that error is returned instead.
	if line, err := s.queue.finish(); err != nil {
		return line, err
	}
	if errors.Is(err, io.EOF) {
		return 0, nil
	}
	return line, err
}

// Read implements io.Reader. Before it reads from the body, it starts to publish the lines that were
// read before.
func (s *stream) Read(p []byte) (int, error) {
	if err := s.queue.flush(); err != nil {
		return 0, err
	}
	return s.body.Read(p)
}

// add queues the event in a line. The queue authorizes the event when it publishes it.
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
