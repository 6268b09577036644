package wire

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/internal/jsonscan"
	"github.com/trivium-hub/trivium/transports/problems"
)

// Ref is the client's own identifier of a command: the raw JSON of a string or number, repeated
// unchanged in the answer. It is nil if the command has none.
type Ref []byte

// The ops of the hub's control messages (docs/protocol.md#control-messages). An event has no op.
const (
	OpHello     = "hello"
	OpHeartbeat = "heartbeat"
	OpGap       = "gap"
	OpAck       = "ack"
	OpError     = "error"
	OpGoaway    = "goaway"
)

// AppendHello appends the first message of a connection. heartbeat is 0 if there are none.
func AppendHello(dst []byte, id, session string, heartbeat time.Duration) []byte {
	dst = append(dst, `{"op":"hello","id":`...)
	dst = jsonscan.AppendString(dst, id)
	dst = append(dst, `,"session":`...)
	dst = jsonscan.AppendString(dst, session)
	dst = append(dst, `,"heartbeat_ms":`...)
	dst = strconv.AppendInt(dst, heartbeat.Milliseconds(), 10)
	return append(dst, '}')
}

// AppendHeartbeat appends a heartbeat with the subscriber's position.
func AppendHeartbeat(dst []byte, id string) []byte {
	dst = append(dst, `{"op":"heartbeat","id":`...)
	return append(jsonscan.AppendString(dst, id), '}')
}

// AppendGap appends a gap. Its id is the position at which the gap ends.
func AppendGap(dst []byte, g *hub.Gap) []byte {
	dst = append(dst, `{"op":"gap","id":"`...)
	dst = g.ResumedAt.AppendText(dst)
	dst = append(dst, `",`...)
	return append(appendGapMembers(dst, g), '}')
}

// appendGapMembers appends the members of a gap without the enclosing braces.
func appendGapMembers(dst []byte, g *hub.Gap) []byte {
	dst = append(dst, `"reason":`...)
	dst = jsonscan.AppendString(dst, string(g.Reason))
	if g.After != "" {
		dst = append(dst, `,"after":`...)
		dst = jsonscan.AppendString(dst, g.After)
	}
	dst = append(dst, `,"resumed_at":"`...)
	dst = g.ResumedAt.AppendText(dst)
	dst = append(dst, `","certain":`...)
	return strconv.AppendBool(dst, g.Certain)
}

// AppendAck appends the answer to a successful command. An empty id is omitted.
func AppendAck(dst []byte, ref Ref, id string) []byte {
	dst = append(dst, `{"op":"ack"`...)
	dst = appendRefMember(dst, ref)
	if id != "" {
		dst = append(dst, `,"id":`...)
		dst = jsonscan.AppendString(dst, id)
	}
	return append(dst, '}')
}

// AppendError appends the answer to a refused command or, with a nil ref, the last message before a
// close.
func AppendError(dst []byte, ref Ref, p *problems.Problem) []byte {
	dst = append(dst, `{"op":"error"`...)
	dst = append(appendRefMember(dst, ref), ',')
	return append(p.AppendMembers(dst), '}')
}

func appendRefMember(dst []byte, ref Ref) []byte {
	if ref == nil {
		return dst
	}
	return append(append(dst, `,"ref":`...), ref...)
}

// AppendGoaway appends the message that the hub is draining and the client must reconnect after
// retry.
func AppendGoaway(dst []byte, retry time.Duration) []byte {
	dst = append(dst, `{"op":"goaway",`...)
	return append(appendRetryMember(dst, retry), '}')
}

func appendRetryMember(dst []byte, retry time.Duration) []byte {
	return strconv.AppendInt(append(dst, `"retry_ms":`...), retry.Milliseconds(), 10)
}

// Message is one message from the hub to a WebSocket client. Which members are set depends on Op.
type Message struct {
	Op        string            // empty for an event
	Event     *hub.Event        // of an event
	ID        string            // of hello, heartbeat, gap and ack; opaque to a client
	Ref       Ref               // of ack and error
	Session   string            // of hello
	Heartbeat time.Duration     // of hello
	Gap       *hub.Gap          // of gap
	Problem   *problems.Problem // of error
	Retry     time.Duration     // of goaway
}

// DecodeMessage decodes one message of the hub. If its op is unknown, only Op is set, and the
// caller ignores the message. Unknown members are ignored. The message may share b's memory.
func DecodeMessage(b []byte) (Message, error) {
	var m Message
	obj, err := jsonscan.Object(b)
	if err != nil {
		return m, fmt.Errorf("message: %w", err)
	}
	err = jsonscan.Members(obj, func(name string, value []byte) (err error) {
		if name == "op" {
			m.Op, err = jsonscan.RequireString(name, value)
		}
		return err
	})
	if err != nil {
		return Message{}, fmt.Errorf("message: %w", err)
	}
	switch m.Op {
	case "":
		m.Event, err = decodeEnvelope(obj)
	case OpGap:
		m.Gap, err = decodeGap(obj)
	case OpError:
		m.Problem = new(problems.Problem)
		err = m.Problem.UnmarshalJSON(obj)
	}
	if err == nil && m.Op != "" {
		err = m.decodeMembers(obj)
	}
	if err != nil {
		return Message{}, fmt.Errorf("message: %w", err)
	}
	return m, nil
}

// decodeMembers decodes the members that are not part of an event, a gap or a problem.
func (m *Message) decodeMembers(obj []byte) error {
	return jsonscan.Members(obj, func(name string, value []byte) (err error) {
		switch name {
		case "id":
			m.ID, err = jsonscan.RequireString(name, value)
		case "ref":
			m.Ref = value
		case "session":
			m.Session, err = jsonscan.RequireString(name, value)
		case "heartbeat_ms":
			m.Heartbeat, err = millisecondsMember(name, value)
		case "retry_ms":
			m.Retry, err = millisecondsMember(name, value)
		}
		return err
	})
}

// DecodeGap decodes the data of trivium.gap, or the gap of a long-poll's answer.
func DecodeGap(b []byte) (*hub.Gap, error) {
	obj, err := jsonscan.Object(b)
	if err != nil {
		return nil, fmt.Errorf("gap: %w", err)
	}
	return decodeGap(obj)
}

func decodeGap(obj []byte) (*hub.Gap, error) {
	g := new(hub.Gap)
	found := false
	err := jsonscan.Members(obj, func(name string, value []byte) (err error) {
		switch name {
		case "reason":
			var s string
			s, err = jsonscan.RequireString(name, value)
			g.Reason = hub.GapReason(s)
		case "after":
			g.After, err = jsonscan.RequireString(name, value)
		case "resumed_at":
			found = true
			g.ResumedAt, err = cursorMember(name, value)
		case "certain":
			g.Certain, err = boolMember(name, value)
		}
		return err
	})
	if err == nil && !found {
		err = errors.New("resumed_at: is missing")
	}
	if err != nil {
		return nil, fmt.Errorf("gap: %w", err)
	}
	return g, nil
}

func millisecondsMember(name string, value []byte) (time.Duration, error) {
	n, err := strconv.ParseInt(string(value), 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/int64(time.Millisecond) {
		return 0, fmt.Errorf("%s: a whole number of milliseconds is expected", name)
	}
	return time.Duration(n) * time.Millisecond, nil
}
