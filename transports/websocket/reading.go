package websocket

import (
	"encoding/binary"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/trivium-hub/trivium/transports/internal/connection"
	"github.com/trivium-hub/trivium/transports/internal/wire"
	"github.com/trivium-hub/trivium/transports/problems"
)

// readBuffer is the size of the buffer for one read, in bytes.
const readBuffer = 512

// maxUnread is the maximum number of bytes that the hub reads and discards from a peer that keeps sending
// after the end of the stream.
const maxUnread = 16 << 20

// closeTimeout is the time that the peer has for answering a close frame.
const closeTimeout = 5 * time.Second

var readBuffers = sync.Pool{New: func() any { return new([readBuffer]byte) }}

// readLoop reads from the connection. The parameter early is input that arrived together with the
// handshake; readLoop handles it first. If the connection can be watched for input, readLoop then
// returns. Otherwise it reads until the connection ends.
func (s *session) readLoop(early []byte) {
	if !s.handleInput(early, nil) || s.out.NotifyReadable(s) {
		return
	}
	buffer := make([]byte, readBuffer)
	for more := true; more; {
		s.startMessageTimer()
		n, err := s.conn.Read(buffer)
		more = s.handleInput(buffer[:n], err)
	}
}

// Readable implements connection.Reader. It reads the available input.
func (s *session) Readable(c connection.TryReader) {
	buffer := readBuffers.Get().(*[readBuffer]byte)
	defer readBuffers.Put(buffer)
	for {
		n, err := c.TryRead(buffer[:])
		if !s.handleInput(buffer[:n], err) {
			return
		}
		if n < len(buffer) {
			s.startMessageTimer()
			s.out.RearmReadable()
			return
		}
	}
}

// handleInput handles the result of a read: it executes the messages in p, and reports whether to continue
// reading. If err is not nil, there is no more input.
func (s *session) handleInput(p []byte, err error) bool {
	if !s.discardInput {
		n, v := s.frames.feed(p, s)
		p = p[n:]
		s.discardInput = s.frames.closeReceived || v != nil
		if v != nil {
			s.closeForViolation(v)
		}
	}
	// After a close frame or a violation, input is read and discarded. If the hub closed the socket with
	// unread input, the connection would be reset, and the peer might not receive the hub's close frame.
	s.discarded += len(p)
	if err != nil || s.discarded > maxUnread {
		s.out.CloseAfterEnd()
		return false
	}
	return true
}

// closeForViolation ends the stream with an error message or a close frame that describes the violation.
// If the stream is already ending for another reason, the hub sends only the last message for that
// reason.
func (s *session) closeForViolation(v *violation) {
	s.h.cfg.Refusals.counts[v.reason].Add(1)
	time.AfterFunc(closeTimeout, s.out.Close) // closes the connection even if the peer does not read
	switch v.reason {
	case reasonRate:
		s.out.EndWithProblem(problems.RateLimited(v.text, 0))
	case reasonReceiving:
		s.out.EndWithProblem(problems.Unavailable(v.text))
	default:
		s.out.EndWith(wire.AppendCloseFrame(nil, v.code, v.text), connection.ClosedRefused)
	}
	s.directionEnded()
}

// message implements receiver. It executes the command in a message. If the stream is already ending,
// message ignores the command.
func (s *session) message(text []byte) *violation {
	if !s.out.BeginCommand() {
		return nil
	}
	defer s.out.EndCommand()
	if !utf8.Valid(text) {
		return notUTF8
	}
	command, err := wire.ParseCommand(text, s.h.cfg.MaxTopics)
	if command.Op == wire.OpSubscribe { // invalid commands also count toward the limit
		if problem := s.access.AdmitSubscription(); problem != nil {
			err = problem
		}
	}
	if err == nil {
		err = s.execute(&command)
	}
	if err != nil {
		s.writeMessage(wire.Message{Op: wire.OpError, Ref: command.Ref, Problem: problems.Of(err)})
	}
	return nil
}

// control implements receiver.
func (s *session) control(opcode byte, payload []byte) *violation {
	switch opcode {
	case opcodePing:
		s.out.TryWriteControl(controlFrame(opcodePong, payload))
	case opcodeClose:
		if v := checkClose(payload); v != nil {
			return v
		}
		// This answers the peer's close frame. It has no effect if the hub has already sent a close
		// frame.
		s.out.EndWith(controlFrame(opcodeClose, payload), connection.ClosedByClient)
		s.out.CloseAfterEnd()
	}
	return nil
}

func controlFrame(opcode byte, payload []byte) []byte {
	return append([]byte{bitFin | opcode, byte(len(payload))}, payload...)
}

// checkClose checks the payload of a close frame (RFC 6455, sections 5.5.1 and 7.4).
func checkClose(payload []byte) *violation {
	if len(payload) == 0 {
		return nil
	}
	if len(payload) == 1 {
		return badFrame
	}
	switch code := binary.BigEndian.Uint16(payload); {
	case code < 1000, code == 1004, code == 1005, code == 1006, code > 1014 && code < 3000, code > 4999:
		return badFrame
	case !utf8.Valid(payload[2:]):
		return badReason
	}
	return nil
}

// directionEnded records that one direction of the connection has ended: the hub has written its close
// frame, or it discards further input because of a violation. When both have ended, directionEnded
// closes the write side, because the peer waits for this (RFC 6455, section 7.1.1). It does not wait for
// the peer's close frame, which the hub cannot recognize because it no longer parses input.
func (s *session) directionEnded() {
	if s.endedDirections.Add(1) == 2 {
		_ = s.conn.CloseWrite() // fails only on a broken connection
	}
}

// lingeringConn is the Conn of the Writer. After the hub's close frame is written, it stays open until the
// session has read the peer's close frame. PeerClosed always returns false, because the session detects
// that the peer has closed the connection.
type lingeringConn struct {
	connection.Duplex
	session *session
}

func (l *lingeringConn) Unwrap() connection.Conn { return l.Duplex }

func (l *lingeringConn) PeerClosed() bool { return false }

func (l *lingeringConn) End() bool {
	l.session.closeTimer = time.AfterFunc(closeTimeout, l.session.out.Close)
	l.session.directionEnded()
	return false
}

func (l *lingeringConn) Close() {
	l.session.ended.Store(true)
	l.session.finishIncoming()
	if l.session.closeTimer != nil {
		l.session.closeTimer.Stop()
	}
	l.Duplex.Close()
}
