package websocket

import (
	"encoding/binary"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/trivium-hub/trivium/transports/connection"
	"github.com/trivium-hub/trivium/transports/wire"
)

// readBuffer is what is read at a time.
const readBuffer = 512 // bytes

// maxUnread bounds what is read of a peer that goes on sending after its connection has ended.
const maxUnread = 16 << 20 // bytes

// closeTimeout is how long the peer may take to answer a close frame.
const closeTimeout = 5 * time.Second

var readBuffers = sync.Pool{New: func() any { return new([readBuffer]byte) }}

// listen reads until the connection ends, where something came with the request and where nobody
// tells when something comes.
func (s *session) listen(early []byte) {
	if !s.received(early, nil) || s.out.NotifyReadable(s) {
		return
	}
	buffer := make([]byte, readBuffer)
	for more := true; more; {
		s.limitTime()
		n, err := s.conn.Read(buffer)
		more = s.received(buffer[:n], err)
	}
}

// Readable implements connection.Reader: it reads what there is.
func (s *session) Readable(c connection.TryReader) {
	buffer := readBuffers.Get().(*[readBuffer]byte)
	defer readBuffers.Put(buffer)
	for {
		n, err := c.TryRead(buffer[:])
		if !s.received(buffer[:n], err) {
			return
		}
		if n < len(buffer) {
			s.limitTime()
			s.out.RearmReadable()
			return
		}
	}
}

// received carries out what has come, and reports whether to read on. The error means that nothing
// more will come.
func (s *session) received(p []byte, err error) bool {
	if !s.deaf {
		n, v := s.frames.take(p, s)
		p = p[n:]
		s.deaf = s.frames.closed || v != nil
		if v != nil {
			s.refuse(v)
		}
	}
	// To close with something unread would reset the connection, and take the close frame back from
	// a peer that has not read it.
	s.unread += len(p)
	if err != nil || s.unread > maxUnread {
		s.out.CloseAfterEnd()
		return false
	}
	return true
}

// refuse closes the connection for what the peer sent. Where it was ending, that stays.
func (s *session) refuse(v *violation) {
	s.h.cfg.Refusals.counts[v.reason].Add(1)
	time.AfterFunc(closeTimeout, s.out.Close) // whether or not it has taken its last words
	switch v.reason {
	case reasonRate:
		s.out.EndWithProblem(wire.RateLimited(v.text, 0))
	case reasonReceiving:
		s.out.EndWithProblem(wire.Unavailable(v.text))
	default:
		s.out.EndWith(wire.AppendCloseFrame(nil, v.code, v.text))
	}
	s.over()
}

// message implements receiver: it carries out one message, up to the end of the stream. What the
// peer sends between that and its own close frame counts for nothing.
func (s *session) message(text []byte) *violation {
	if s.out.IsEnding() {
		return nil
	}
	if !utf8.Valid(text) {
		return notUTF8
	}
	command, err := wire.ParseCommand(text, s.h.cfg.MaxTopics)
	if command.Op == wire.OpSubscribe { // a refused command counts toward the rate too
		if problem := s.access.AdmitSubscription(); problem != nil {
			err = problem
		}
	}
	if err == nil {
		err = s.do(&command)
	}
	if err != nil {
		s.say(wire.AppendError(nil, command.Ref, wire.ProblemOf(err)))
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
		s.out.EndWith(controlFrame(opcodeClose, payload)) // an echo, unless the hub was first
		s.out.CloseAfterEnd()
	}
	return nil
}

func controlFrame(opcode byte, payload []byte) []byte {
	return append([]byte{bitFin | opcode, byte(len(payload))}, payload...)
}

// checkClose looks at the payload of a close frame (RFC 6455, sections 5.5.1 and 7.4).
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

// over is called once when the close frame is out, and once when the peer has broken a rule and is
// not listened to. After both it is told that nothing follows; it would wait for that (RFC 6455,
// section 7.1.1), and cannot be heard to answer.
func (s *session) over() {
	if s.ways.Add(1) == 2 {
		_ = connection.CloseWrite(s.conn) // fails only on a connection that is of no use any more
	}
}

// lingering is the outlet's Conn: after the close frame the peer is read up to its own, which is
// also how it is noticed that it has gone.
type lingering struct {
	connection.Conn
	session *session
}

func (l lingering) Unwrap() connection.Conn { return l.Conn }

func (l lingering) Gone() bool { return false }

func (l lingering) End() bool {
	l.session.expiry = time.AfterFunc(closeTimeout, l.session.out.Close)
	l.session.over()
	return false
}

func (l lingering) Close() {
	l.session.ended.Store(true)
	l.session.arrived()
	if l.session.expiry != nil {
		l.session.expiry.Stop()
	}
	l.Conn.Close()
}
