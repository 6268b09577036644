package publish

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/web"
	"github.com/trivium-hub/trivium/transports/wire"
)

// stream is one request of envelopes, one a line. Events wait in it only while the lines that
// were read with them are parsed: it is the reader of its own body, and before it waits for more
// of that it publishes them.
type stream struct {
	handler *Handler
	ctx     context.Context // of the request, less its token; for waiting
	access  web.Access
	body    io.Reader

	pending []*hub.Event
	lines   []int       // theirs
	receipt hub.Receipt // what was published
	err     error       // why the pending ones could not be
}

// stream publishes line by line. An error is a *wire.Problem with the line at fault and the number
// of events that stand.
func (h *Handler) stream(w http.ResponseWriter, r *http.Request) (hub.Receipt, error) {
	ctx, end := context.WithCancelCause(r.Context())
	defer end(nil)
	s := &stream{handler: h, ctx: ctx, access: h.access(r.Context()), body: h.pace(w, r.WithContext(ctx), true)}
	watcher := &streamWatcher{access: s.access, end: end}
	if problem := s.access.Watch(watcher); problem != nil {
		return hub.Receipt{}, problem
	}
	defer s.access.Release(watcher)
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

// streamWatcher ends a stream that waits when its token ends; of one that goes on each line is judged.
type streamWatcher struct {
	access web.Access
	end    context.CancelCauseFunc
}

// Revise implements hub.Holder.
func (w *streamWatcher) Revise() {
	if w.access.Grant() == nil {
		w.end(wire.TokenEnded())
	}
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
			return s.lines[0], err
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

// add takes a line. Whether it may be published is judged when its turn has come.
func (s *stream) add(text []byte, line int) error {
	event, err := wire.ParseEnvelope(text)
	if err != nil {
		return err
	}
	if err := event.Validate(s.handler.hub.MaxEventSize()); err != nil {
		return err
	}
	s.pending, s.lines = append(s.pending, event), append(s.lines, line)
	return nil
}

// flush publishes what is pending, as fast as the token may. An error stays.
func (s *stream) flush() error {
	for len(s.pending) > 0 && s.err == nil {
		var n int
		if n, s.err = s.access.AwaitPublish(s.ctx, len(s.pending)); s.err != nil {
			if ended := endOf(s.ctx); ended != nil {
				s.err = ended
			}
			break
		}
		// The wait may have been long: what was right when the line came may not be any more.
		if n, s.err = s.permitted(n); n == 0 {
			break
		}
		refused := s.err
		// What has come whole is published, even if its client does not wait.
		var last hub.Cursor
		if last, s.err = s.handler.hub.Publish(context.WithoutCancel(s.ctx), s.pending[:n]...); s.err != nil {
			break
		}
		s.receipt.Last = last
		s.receipt.Count += n
		s.pending, s.lines = slices.Delete(s.pending, 0, n), slices.Delete(s.lines, 0, n)
		s.err = refused
	}
	return s.err
}

// permitted gives how many of the first n pending events may be published now, and why not all.
func (s *stream) permitted(n int) (int, error) {
	grant := s.access.Grant()
	for i, e := range s.pending[:n] {
		if problem := web.MayPublish(grant, e.Topic); problem != nil {
			return i, problem
		}
	}
	return n, nil
}
