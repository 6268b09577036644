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

	"github.com/trivium-hub/trivium/auth"
	"github.com/trivium-hub/trivium/transports/internal/intake"
	"github.com/trivium-hub/trivium/transports/internal/wire"
	"github.com/trivium-hub/trivium/transports/problems"
)

// stretchSize is the size of a stretch, a part of a body that must arrive within one timeout.
const stretchSize = 16 << 10 // bytes

// initialBody is the initial size of a body's buffer.
const initialBody = 4 << 10 // bytes

// timedBody reads the body of a request and limits the time that it waits for the client. The timeout
// applies to each stretch of bytes. A timeout for the whole body would refuse large bodies over slow
// connections, and a timeout for each read would accept a body that arrives byte by byte. In addition,
// the whole body, or each line of a body that consists of lines, has a time limit that grows with its
// size; see intake.TimeFor. Only the time that is spent in reads is counted.
//
// Between two lines, the client may pause for any length of time, because the request then uses no memory
// except that of its connection.
//
// The errors of Read are io.EOF, a *problems.Problem, or the cause with which the request's context was
// canceled.
type timedBody struct {
	io.ReadCloser
	ctx          context.Context // context of the request
	connection   *http.ResponseController
	timeout      time.Duration // 0: no timeout
	lines        bool          // whether the body consists of lines: the end of a line then also ends a stretch
	countTimeout func()        // called at each timeout

	stretchRead  int           // number of bytes of the current stretch that were read
	stretchLeft  time.Duration // time left for the current stretch
	size         int64         // number of bytes that were read of the body or, with lines, of the incomplete line
	spent        time.Duration // time spent in reads of these bytes
	betweenLines bool          // whether the last line is complete, and no part of the next line has arrived
}

func (h *Handler) newTimedBody(w http.ResponseWriter, r *http.Request, lines bool) *timedBody {
	return &timedBody{
		ReadCloser:   r.Body,
		ctx:          r.Context(),
		connection:   http.NewResponseController(w),
		timeout:      h.lineTimeout,
		lines:        lines,
		countTimeout: h.intake.CountLate,
		stretchLeft:  h.lineTimeout,
	}
}

func (b *timedBody) Read(p []byte) (int, error) {
	start := time.Now()
	if b.timeout > 0 {
		if err := b.connection.SetReadDeadline(b.deadline(start)); err != nil {
			return 0, fmt.Errorf("set the read deadline of a body: %w", err)
		}
	}
	// When the context ends, this AfterFunc sets a deadline in the past. It must be registered after the
	// call above, which would otherwise overwrite that deadline.
	stop := context.AfterFunc(b.ctx, func() { _ = b.connection.SetReadDeadline(time.Unix(1, 0)) })
	n, err := b.ReadCloser.Read(p)
	stop()
	b.count(p[:n], time.Since(start))
	switch {
	case err == nil || errors.Is(err, io.EOF):
	case endError(b.ctx) != nil:
		err = endError(b.ctx)
	case errors.Is(err, os.ErrDeadlineExceeded):
		b.countTimeout()
		err = problems.RequestTimeout()
	default:
		err = problems.BadRequest("the body ended early or has invalid framing")
	}
	return n, err
}

// deadline returns the time by which the next bytes must arrive, or the zero time if there is no
// deadline.
func (b *timedBody) deadline(now time.Time) time.Time {
	if b.betweenLines {
		return time.Time{}
	}
	return now.Add(min(b.stretchLeft, intake.TimeFor(b.size, b.timeout)-b.spent))
}

// count records the result of a read: the bytes that it has returned, and the time that it took.
func (b *timedBody) count(p []byte, took time.Duration) {
	if b.betweenLines {
		took = 0
	}
	b.stretchRead += len(p)
	b.stretchLeft -= took
	b.size += int64(len(p))
	b.spent += took
	end := -1
	if b.lines {
		end = bytes.LastIndexByte(p, '\n')
	}
	if b.stretchRead >= stretchSize || end >= 0 {
		b.stretchRead, b.stretchLeft = 0, b.timeout
	}
	if end >= 0 {
		b.size, b.spent = int64(len(p)-end-1), 0
	}
	b.betweenLines = b.size == 0 && (end >= 0 || b.betweenLines)
}

// lineEnded records that a line is complete, and that the given number of bytes of the next line have
// arrived. gunzip calls it, because timedBody reads only compressed bytes and cannot detect line ends.
func (b *timedBody) lineEnded(rest int64) {
	b.stretchRead, b.stretchLeft = 0, b.timeout
	b.size, b.spent = rest, 0
	b.betweenLines = rest == 0
}

// endError returns the error with which to answer the client if the hub has canceled the request,
// otherwise nil.
func endError(ctx context.Context) error {
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, ErrShutdown):
		return problems.Draining(problems.RetryDelay())
	case cause != nil && !errors.Is(cause, context.Canceled):
		return cause
	}
	return nil
}

// openReservation returns a reservation of memory for the body of a request. It does not count the first
// 64 KiB of the body.
func (h *Handler) openReservation(r *http.Request) *intake.Reservation {
	return h.intake.Open(auth.AccessFrom(r.Context()).Sender(), intake.SmallSize)
}

// resizeReservation changes the size of a reservation. Its error is a *problems.Problem.
func resizeReservation(held *intake.Reservation, size int) error {
	if err := held.Resize(int64(size)); err != nil {
		return problems.Unavailable(err.Error())
	}
	return nil
}

// toUTF8Body converts a body to UTF-8 if it is text or JSON in another charset. It returns other bodies
// unchanged.
func toUTF8Body(body []byte, contentType string, held *intake.Reservation) ([]byte, error) {
	if !wire.IsTextual(contentType) {
		return body, nil
	}
	charset, err := charsetOf(contentType)
	if err != nil || charset == "" || charset == "utf-8" {
		return body, err
	}
	// Two bytes in any supported charset become at most four bytes in UTF-8.
	if err := resizeReservation(held, cap(body)+2*len(body)); err != nil {
		return nil, err
	}
	return toUTF8(body, charset)
}

// readBody reads the whole body, which may have at most limit bytes. It reserves memory for the bytes
// that have arrived, not for the announced length.
func (h *Handler) readBody(
	w http.ResponseWriter, r *http.Request, encoding contentEncoding, limit int64, held *intake.Reservation,
) ([]byte, error) {
	tooLarge := problems.TooLarge("body", fmt.Sprintf("at most %d bytes are allowed", limit))
	if encoding == identity && r.ContentLength > limit {
		return nil, tooLarge
	}
	reader, memory := h.bodyReader(w, r, encoding, false, limit)
	body := make([]byte, 0, initialBody)
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
			size = min(size, int(r.ContentLength)+1) // with the additional byte, a read detects the end
		}
		if err := resizeReservation(held, memory+size); err != nil {
			return nil, err
		}
		body = append(make([]byte, 0, size), body...)
	}
}
