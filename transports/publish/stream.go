package publish

import (
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/web"
	"github.com/trivium-hub/trivium/transports/wire"
)

// stream is one request of envelopes, one a line. Events wait in it only while the lines that
// were read with them are parsed: it is the reader of its own body, and before it waits for more
// of that it publishes them.
type stream struct {
	handler *Handler
	ctx     context.Context
	grant   *hub.Grant
	body    io.Reader

	pending []*hub.Event
	first   int         // the line of the first of them
	receipt hub.Receipt // what was published
	err     error       // why the pending ones could not be
}

// stream publishes line by line. An error is a *wire.Problem with the line at fault and the number
// of events that stand.
func (h *Handler) stream(w http.ResponseWriter, r *http.Request) (hub.Receipt, error) {
	s := &stream{
		handler: h,
		ctx:     context.WithoutCancel(r.Context()),
		grant:   h.grant(r.Context()),
		body:    h.pace(w, r, true),
	}
	s.receipt.Last = h.hub.Position() // of a body without lines
	line, err := s.run()
	if err == nil {
		return s.receipt, nil
	}
	if r.ProtoMajor == 1 {
		w.Header().Set("Connection", "close") // the rest of the stream is not awaited
	}
	problem := wire.ProblemOf(err)
	problem.Line, problem.Accepted = &line, &s.receipt.Count
	return hub.Receipt{}, problem
}

// run reads to the end of the body, or gives the first line that is refused, and why.
func (s *stream) run() (line int, err error) {
	lines := wire.NewLineReader(s, s.handler.maxLine)
	for {
		text, line, err := lines.Next()
		if err == nil {
			err = s.add(text, line)
		}
		if err == nil {
			continue
		}
		// What came before this line stands, or was refused before it.
		if err := s.flush(); err != nil {
			return s.first, err
		}
		if errors.Is(err, io.EOF) {
			return 0, nil
		}
		return line, err
	}
}

// Read reads from the body, with nothing left to publish while it waits.
func (s *stream) Read(p []byte) (int, error) {
	if err := s.flush(); err != nil {
		return 0, err
	}
	return s.body.Read(p)
}

// add takes a line that may be published.
func (s *stream) add(text []byte, line int) error {
	event, err := wire.ParseEnvelope(text)
	if err != nil {
		return err
	}
	if err := event.Validate(s.handler.hub.MaxEventSize()); err != nil {
		return err
	}
	if problem := web.MayPublish(s.grant, event.Topic); problem != nil {
		return problem
	}
	if len(s.pending) == 0 {
		s.first = line
	}
	s.pending = append(s.pending, event)
	return nil
}

// flush publishes what is pending. An error stays.
func (s *stream) flush() error {
	if len(s.pending) == 0 || s.err != nil {
		return s.err
	}
	last, err := s.handler.hub.Publish(s.ctx, s.pending...)
	if err != nil {
		s.err = err
		return err
	}
	s.receipt.Last = last
	s.receipt.Count += len(s.pending)
	clear(s.pending)
	s.pending = s.pending[:0]
	return nil
}
