package publish

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/trivium-hub/trivium/transports/web"
	"github.com/trivium-hub/trivium/transports/wire"
)

// stretch is the part of a body that must come within the time limit.
const stretch = 16 << 10 // bytes

// pacedBody reads a body from a client that may be slow, or never send it all. The limit is on a
// stretch rather than on the body, so that a large one on a slow line goes through, and rather
// than on a single read, so that one that comes byte by byte does not. The time between reads does
// not count.
//
// An error of the body is io.EOF, a *wire.Problem, or why the context of the request has ended.
type pacedBody struct {
	io.ReadCloser
	ctx        context.Context // of the request
	connection *http.ResponseController
	timeout    time.Duration // 0: none
	lines      bool          // a line ends a stretch too

	got  int           // bytes of this stretch
	left time.Duration // of its time
}

func (h *Handler) pace(w http.ResponseWriter, r *http.Request, lines bool) *pacedBody {
	return &pacedBody{
		ReadCloser: r.Body,
		ctx:        r.Context(),
		connection: http.NewResponseController(w),
		timeout:    h.lineTimeout,
		lines:      lines,
		left:       h.lineTimeout,
	}
}

func (b *pacedBody) Read(p []byte) (int, error) {
	begin := time.Now()
	if b.timeout > 0 {
		if err := b.connection.SetReadDeadline(begin.Add(b.left)); err != nil {
			return 0, fmt.Errorf("limit the time of a body: %w", err)
		}
	}
	// After the deadline above, so that this one stays.
	stop := context.AfterFunc(b.ctx, func() { _ = b.connection.SetReadDeadline(time.Unix(1, 0)) })
	n, err := b.ReadCloser.Read(p)
	stop()
	b.got += n
	b.left -= time.Since(begin)
	if b.got >= stretch || b.lines && bytes.IndexByte(p[:n], '\n') >= 0 {
		b.got, b.left = 0, b.timeout
	}
	switch {
	case err == nil || errors.Is(err, io.EOF):
	case endOf(b.ctx) != nil:
		err = endOf(b.ctx)
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = wire.RequestTimeout()
	default:
		err = wire.BadRequest("the body broke off or is framed wrongly")
	}
	return n, err
}

// endOf gives what is told to a client whose request the hub has ended; nil if it has not.
func endOf(ctx context.Context) error {
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, ErrEnding):
		return wire.Draining(web.ComeBack())
	case cause != nil && !errors.Is(cause, context.Canceled):
		return cause
	}
	return nil
}

// readBody reads the whole body, of at most limit bytes.
func (h *Handler) readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	tooLarge := wire.TooLarge("body", fmt.Sprintf("at most %d bytes are allowed", limit))
	if r.ContentLength > limit {
		return nil, tooLarge
	}
	counted := &countedBody{Reader: h.pace(w, r, false), budget: h.bodies}
	defer counted.release()
	body, err := io.ReadAll(http.MaxBytesReader(w, io.NopCloser(counted), limit))
	if _, over := errors.AsType[*http.MaxBytesError](err); over {
		return nil, tooLarge
	}
	return body, err
}

// bodyBudget counts the bytes of all bodies that are being read.
type bodyBudget struct {
	limit int64
	taken atomic.Int64
}

// countedBody takes what it reads from the budget.
type countedBody struct {
	io.Reader
	budget *bodyBudget
	taken  int64
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	b.taken += int64(n)
	if b.budget.taken.Add(int64(n)) > b.budget.limit {
		return 0, wire.Unavailable("too much is being published at once")
	}
	return n, err
}

func (b *countedBody) release() { b.budget.taken.Add(-b.taken) }
