package websocket

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/trivium-hub/trivium/transports/outlet"
	"github.com/trivium-hub/trivium/transports/wire"
)

// Sizes of the library's buffers. What it writes are control frames, whole, of at most 127 bytes.
const (
	readBuffer  = 512
	writeBuffer = 136
)

// upgrade is the ResponseWriter that the library hijacks: it gives it a stream and small buffers,
// where net/http's would hold 8 KiB for as long as the connection lives.
type upgrade struct {
	http.ResponseWriter
	stream *stream
}

func (u *upgrade) Unwrap() http.ResponseWriter { return u.ResponseWriter }

func (u *upgrade) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(u.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	// The server's deadlines were for the request.
	if err := conn.SetDeadline(time.Time{}); err != nil {
		conn.Close()
		return nil, nil, err
	}
	// A client may send its first message without waiting for the handshake's end.
	early, _ := buffered.Reader.Peek(buffered.Reader.Buffered())
	u.stream = &stream{Conn: conn, early: bytes.Clone(early)}
	return u.stream, bufio.NewReadWriter(
		bufio.NewReaderSize(u.stream, readBuffer),
		bufio.NewWriterSize(u.stream, writeBuffer),
	), nil
}

// stream is the connection as the library sees it: it reads from it, past the guard, and its frames
// go through the outlet, between the hub's messages.
type stream struct {
	net.Conn
	early []byte         // received behind the request
	guard guard          // set before the library reads
	out   *outlet.Outlet // set before the library reads, and so before it writes
	ways  atomic.Int32   // of the two, those that are over; see over
}

// errLost is the end of what the peer sends. The library would take an io.EOF within a message for
// the end of that message.
var errLost = errors.New("the peer sends nothing more")

// Read gives what the guard lets pass. From the first byte on that it does not, Read gives the
// violation, and nothing more is received.
func (s *stream) Read(p []byte) (int, error) {
	if s.guard.refused != nil {
		return 0, s.guard.refused
	}
	n, err := s.receive(p)
	n = s.guard.pass(p[:n])
	if s.guard.refused != nil {
		return n, s.guard.refused
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errLost
	}
	return n, err
}

func (s *stream) receive(p []byte) (int, error) {
	if len(s.early) > 0 {
		n := copy(p, s.early)
		s.early = s.early[n:]
		return n, nil
	}
	return s.Conn.Read(p)
}

// reasonAt is where a close frame has its reason: behind the header and the status.
const reasonAt = 4

func (s *stream) Write(frame []byte) (int, error) {
	switch {
	case frame[0]&opcodeMask != opcodeClose:
		s.out.Offer(bytes.Clone(frame))
	case len(frame) > reasonAt && !utf8.Valid(frame[reasonAt:]): // the library echoes what it got
		s.out.Finish(wire.AppendCloseFrame(nil, invalidPayload, "a reason is UTF-8"))
	default:
		s.out.Finish(bytes.Clone(frame))
	}
	return len(frame), nil
}

func (s *stream) Close() error {
	if s.out != nil {
		s.out.Hangup()
	}
	return nil
}

// over is called once when the close frame is out, and once when what the peer sends cannot be
// read any more. After both the peer is told that nothing follows; it would wait for that (RFC
// 6455, section 7.1.1), and cannot be heard to answer.
func (s *stream) over() {
	if s.ways.Add(1) == 2 {
		_ = outlet.CloseWrite(s.Conn) // fails only on a connection that is of no use any more
	}
}

// closeTimeout is how long the peer may take to answer a close frame.
const closeTimeout = 5 * time.Second

// awaitClose bounds how much longer the peer is read.
func (s *stream) awaitClose() {
	_ = s.SetReadDeadline(time.Now().Add(closeTimeout)) // fails only on a closed connection
}

// lingering is the outlet's Conn: after the close frame the reader waits for the peer's.
type lingering struct {
	outlet.Conn
	stream *stream
}

func (l lingering) End() bool {
	l.stream.awaitClose()
	l.stream.over()
	return false
}
