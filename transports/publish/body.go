package publish

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/trivium-hub/trivium/transports/intake"
	"github.com/trivium-hub/trivium/transports/web"
	"github.com/trivium-hub/trivium/transports/wire"
)

// stretch is the part of a body that must come within the time limit.
const stretch = 16 << 10 // bytes

// firstRead is how much memory a body gets before any of it has come.
const firstRead = 4 << 10 // bytes

// pacedBody reads a body from a client that may be slow, or never send it all. The limit is on a
// stretch rather than on the body, so that a large one on a slow line goes through, and rather
// than on a single read, so that one that comes byte by byte does not. The whole body, or a line of
// it, has a limit too, see intake.TimeFor. The time between reads does not count.
//
// A body of lines may be silent for as long as it likes once a line has come and no part of
// another: nothing is held for it then but its connection.
//
// An error of the body is io.EOF, a *wire.Problem, or why the context of the request has ended.
type pacedBody struct {
	io.ReadCloser
	ctx        context.Context // of the request
	connection *http.ResponseController
	timeout    time.Duration // 0: none
	lines      bool          // a line ends a stretch too
	late       func()        // counts a timeout

	got     int           // bytes of this stretch
	left    time.Duration // of its time
	size    int64         // bytes of the body, or of the line that is not whole
	spent   time.Duration // on them
	between bool          // a line has come, and no part of another
}

func (h *Handler) pace(w http.ResponseWriter, r *http.Request, lines bool) *pacedBody {
	return &pacedBody{
		ReadCloser: r.Body,
		ctx:        r.Context(),
		connection: http.NewResponseController(w),
		timeout:    h.lineTimeout,
		lines:      lines,
		late:       h.intake.CountLate,
		left:       h.lineTimeout,
	}
}

func (b *pacedBody) Read(p []byte) (int, error) {
	begin := time.Now()
	if b.timeout > 0 {
		if err := b.connection.SetReadDeadline(b.deadline(begin)); err != nil {
			return 0, fmt.Errorf("limit the time of a body: %w", err)
		}
	}
	// After the deadline above, so that this one stays.
	stop := context.AfterFunc(b.ctx, func() { _ = b.connection.SetReadDeadline(time.Unix(1, 0)) })
	n, err := b.ReadCloser.Read(p)
	stop()
	b.count(p[:n], time.Since(begin))
	switch {
	case err == nil || errors.Is(err, io.EOF):
	case endOf(b.ctx) != nil:
		err = endOf(b.ctx)
	case errors.Is(err, os.ErrDeadlineExceeded):
		b.late()
		err = wire.RequestTimeout()
	default:
		err = wire.BadRequest("the body broke off or is framed wrongly")
	}
	return n, err
}

// deadline returns until when the next bytes must come; the zero time is never.
func (b *pacedBody) deadline(now time.Time) time.Time {
	if b.between {
		return time.Time{}
	}
	return now.Add(min(b.left, intake.TimeFor(b.size, b.timeout)-b.spent))
}

// count notes what a read brought and how long it took.
func (b *pacedBody) count(p []byte, took time.Duration) {
	if b.between {
		took = 0
	}
	b.got += len(p)
	b.left -= took
	b.size += int64(len(p))
	b.spent += took
	end := -1
	if b.lines {
		end = bytes.LastIndexByte(p, '\n')
	}
	if b.got >= stretch || end >= 0 {
		b.got, b.left = 0, b.timeout
	}
	if end >= 0 {
		b.size, b.spent = int64(len(p)-end-1), 0
	}
	b.between = b.size == 0 && (end >= 0 || b.between)
}

// lineEnded notes that a line has come whole, with so many bytes of the next one, where the body
// cannot tell by itself.
func (b *pacedBody) lineEnded(rest int64) {
	b.got, b.left = 0, b.timeout
	b.size, b.spent = rest, 0
	b.between = rest == 0
}

// endOf gives what is told to a client whose request the hub has ended; nil if it has not.
func endOf(ctx context.Context) error {
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, ErrEnding):
		return wire.Draining(web.RetryDelay())
	case cause != nil && !errors.Is(cause, context.Canceled):
		return cause
	}
	return nil
}

// open reserves memory for a body of the request: its first 64 KiB always have room.
func (h *Handler) open(r *http.Request) *intake.Reservation {
	return h.intake.Open(h.access(r.Context()).Sender(), intake.SmallSize)
}

// resize reserves memory of a size.
func resize(held *intake.Reservation, size int) error {
	if err := held.Resize(int64(size)); err != nil {
		return wire.Unavailable(err.Error())
	}
	return nil
}

// decode converts a body that is text or JSON in another charset to UTF-8.
func decode(body []byte, contentType string, held *intake.Reservation) ([]byte, error) {
	if !wire.IsTextual(contentType) {
		return body, nil
	}
	charset, err := charsetOf(contentType)
	if err != nil || charset == "" || charset == "utf-8" {
		return body, err
	}
	// A character of two bytes has three in UTF-8 at most.
	if err := resize(held, cap(body)+2*len(body)); err != nil {
		return nil, err
	}
	return toUTF8(body, charset)
}

// readBody reads the whole body, of at most limit bytes, into memory that is reserved as it comes
// and not as it is announced.
func (h *Handler) readBody(
	w http.ResponseWriter, r *http.Request, encoding contentEncoding, limit int64, held *intake.Reservation,
) ([]byte, error) {
	tooLarge := wire.TooLarge("body", fmt.Sprintf("at most %d bytes are allowed", limit))
	if encoding == identity && r.ContentLength > limit {
		return nil, tooLarge
	}
	reader, memory := h.reader(w, r, encoding, false, limit)
	body := make([]byte, 0, firstRead)
	for {
		n, err := reader.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch _, over := errors.AsType[*http.MaxBytesError](err); {
		case over:
			return nil, tooLarge
		case errors.Is(err, io.EOF):
			return body, nil
		case err != nil:
			return nil, err
		}
		if len(body) < cap(body) {
			continue
		}
		size := 2 * cap(body)
		if encoding == identity && r.ContentLength >= int64(len(body)) {
			size = min(size, int(r.ContentLength)+1) // the byte more is where the end is read
		}
		if err := resize(held, memory+size); err != nil {
			return nil, err
		}
		body = append(make([]byte, 0, size), body...)
	}
}
