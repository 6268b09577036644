package longpoll

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"golang.org/x/net/http/httpguts"
)

// maxBuffered is the size of the buffer for a body without a declared length, in bytes.
const maxBuffered = 4 << 10

// response is the http.ResponseWriter for a request on a parked connection. Its Content-Length is the
// length that the handler has declared or, if the whole body fits into the buffer, the actual length. A
// longer body without a declared length has no Content-Length; it ends when the connection is closed.
type response struct {
	conn    net.Conn
	header  http.Header
	server  *http.Server
	closing bool // whether the connection must be closed after the response

	status   int    // 0: not set yet
	buffer   []byte // beginning of the body; nil after the header was sent
	sent     bool   // whether the header was sent
	left     int    // number of declared bytes of the body that are not written yet; valid if sent and not closing
	hijacked bool
	parked   bool  // whether park has hijacked the response
	err      error // error of a write, or http.ErrAbortHandler after a panic of the handler
}

// run calls handle and recovers from its panics. If handle returns true, it has written a response, which
// run completes.
func (w *response) run(handle func() bool) {
	defer func() {
		if cause := recover(); cause != nil {
			w.err = http.ErrAbortHandler
			if cause != http.ErrAbortHandler {
				cmp.Or(w.server.ErrorLog, log.Default()).Printf("longpoll: panic serving %v: %v\n%s", w.conn.RemoteAddr(), cause, debug.Stack())
			}
		}
	}()
	if !handle() || w.hijacked {
		return
	}
	if !w.sent {
		w.send(len(w.buffer))
	}
	if w.left > 0 {
		w.closing = true // the client would wait for the rest of the body
	}
}

// Header implements http.ResponseWriter.
func (w *response) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *response) WriteHeader(status int) {
	if w.status == 0 && status >= http.StatusOK {
		w.status = status
	}
}

// Write implements http.ResponseWriter.
func (w *response) Write(p []byte) (int, error) {
	if w.hijacked {
		return 0, http.ErrHijacked
	}
	w.WriteHeader(http.StatusOK)
	switch length, err := strconv.Atoi(w.header.Get("Content-Length")); {
	case w.err != nil:
		return 0, w.err
	case !w.hasBody():
		return 0, http.ErrBodyNotAllowed
	case w.sent:
		return w.write(p)
	case err == nil && length >= 0:
		if len(w.buffer)+len(p) > length {
			return 0, http.ErrContentLength
		}
		w.buffer = append(w.buffer, p...)
		w.send(length)
	case len(w.buffer)+len(p) <= maxBuffered:
		w.buffer = append(w.buffer, p...)
	default: // without a Content-Length, the end of the connection marks the end of the body
		w.buffer = append(w.buffer, p...)
		w.closing = true
		w.send(-1)
	}
	return len(p), w.err
}

// send sends the header and the buffered part of the body. length is the length of the whole body; -1:
// unknown.
func (w *response) send(length int) {
	w.WriteHeader(http.StatusOK)
	w.header.Del("Transfer-Encoding") // the body is sent unchanged
	switch {
	case !w.hasBody():
		w.header.Del("Content-Length")
	case length >= 0:
		w.left = length
		w.header.Set("Content-Length", strconv.Itoa(length))
	default:
		w.header.Del("Content-Length")
	}
	if _, set := w.header["Content-Type"]; !set && len(w.buffer) > 0 && w.header.Get("Content-Encoding") == "" {
		w.header.Set("Content-Type", http.DetectContentType(w.buffer))
	}
	if w.closing = w.closing || endsConnection(w.header); w.closing {
		w.header.Set("Connection", "close")
	}
	if w.header.Get("Date") == "" {
		w.header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	}
	b := bytes.NewBuffer(make([]byte, 0, 512+len(w.buffer)))
	fmt.Fprintf(b, "HTTP/1.1 %d %s\r\n", w.status, http.StatusText(w.status))
	_ = w.header.Write(b) // never fails for a bytes.Buffer
	b.WriteString("\r\n")
	b.Write(w.buffer)
	w.left -= len(w.buffer)
	w.sent, w.buffer = true, nil
	if _, err := w.conn.Write(b.Bytes()); err != nil {
		w.err = err
	}
}

// hasBody reports whether a response with the status w.status may have a body.
func (w *response) hasBody() bool {
	return w.status != http.StatusNoContent && w.status != http.StatusNotModified
}

// endsConnection reports whether the connection must be closed after a response with this header.
func endsConnection(header http.Header) bool {
	return httpguts.HeaderValuesContainsToken(header["Connection"], "close")
}

// write writes a part of the body.
func (w *response) write(p []byte) (int, error) {
	if _, declared := w.header["Content-Length"]; declared {
		if len(p) > w.left {
			return 0, http.ErrContentLength
		}
		w.left -= len(p)
	}
	n, err := w.conn.Write(p)
	if err != nil {
		w.err = err
	}
	return n, err
}

// SetReadDeadline is for http.ResponseController. It does nothing, because the requests have no body.
func (w *response) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline is for http.ResponseController. It does nothing, because the connection.Listener
// already limits the time that a write may take without progress.
func (w *response) SetWriteDeadline(time.Time) error { return nil }

// Hijack implements http.Hijacker.
func (w *response) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if err := w.hijack(); err != nil {
		return nil, nil, err
	}
	return w.conn, bufio.NewReadWriter(bufio.NewReaderSize(w.conn, 16), bufio.NewWriterSize(w.conn, 16)), nil
}

func (w *response) hijack() error {
	if w.sent || w.hijacked {
		return errors.New("longpoll: Hijack after the response was started or hijacked")
	}
	w.hijacked = true
	return nil
}

// hijackParked is like http.ResponseController.Hijack. However, if the response belongs to a parked
// connection, hijackParked marks it as hijacked and returns neither a connection nor buffers.
func hijackParked(w http.ResponseWriter) (net.Conn, *bufio.ReadWriter, error) {
	for inner := w; ; {
		switch x := inner.(type) {
		case *response:
			return nil, nil, x.hijack()
		case http.Hijacker:
			return http.NewResponseController(w).Hijack()
		case interface{ Unwrap() http.ResponseWriter }:
			inner = x.Unwrap()
		default:
			return nil, nil, http.ErrNotSupported
		}
	}
}

// Flush implements http.Flusher. It does nothing, because run sends the response when it is complete.
func (w *response) Flush() {}
