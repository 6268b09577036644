package wire

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/hub/jsonscan"
	"github.com/trivium-hub/trivium/transports/problems"
)

// Ref is the client's own identifier of a command: the raw JSON of a string or number. The answer
// to the command contains it unchanged. It is nil if the command has no ref.
type Ref []byte

// Ops of the hub's control messages (docs/protocol.md#control-messages). An event has no op. Over
// SSE, the name of a message is sseControl followed by its op; that of hello is trivium.open.
const (
	OpHello     = "hello"
	OpHeartbeat = "heartbeat"
	OpGap       = "gap"
	OpAck       = "ack"
	OpError     = "error"
	OpGoaway    = "goaway"

	sseControl = "trivium."
	sseOpen    = "open"
)

// SSENames are the names of all messages over SSE. Events have no such name.
var SSENames = []string{
	sseControl + sseOpen, sseControl + OpHeartbeat, sseControl + OpGap, sseControl + OpError, sseControl + OpGoaway,
}

// HeartbeatUnknown is the value of Message.Heartbeat for a hello that does not contain the
// interval.
const HeartbeatUnknown time.Duration = -1

// Message is one message from the hub to a subscriber. Which members are set depends on Op. An event has its own
// encodings; AppendJSON and AppendSSE encode all other messages.
type Message struct {
	Op    string     // "": an event
	Event *hub.Event // set for an event
	// ID is a position, which is opaque to a client. In JSON, error and goaway have no ID.
	ID        string
	Ref       Ref               // set for ack and error
	Session   string            // set for hello; not sent over SSE
	Heartbeat time.Duration     // set for hello; 0: there are none. It is sent only with Session
	Gap       *hub.Gap          // set for gap
	Problem   *problems.Problem // set for error
	Retry     time.Duration     // delay before reconnecting; set for goaway, and over SSE also for hello and error
}

// EndsStream reports whether the message is the last one of its stream, unless it answers a command.
func (m *Message) EndsStream() bool { return m.Op == OpError || m.Op == OpGoaway }

// Resumable reports whether the client should resume after a message that ends the stream.
func (m *Message) Resumable() bool { return m.Op == OpGoaway || m.Problem.Temporary() }

// GapMessage returns the message for a gap. Its ID is the position at which the gap ends.
func GapMessage(g *hub.Gap) Message { return Message{Op: OpGap, ID: g.ResumedAt.String(), Gap: g} }

// messageSize is the initial capacity for an encoded message, in bytes. Most messages fit in it and
// are appended with one allocation.
const messageSize = 128

// AppendJSON appends the message as a WebSocket client receives it.
func (m Message) AppendJSON(dst []byte) []byte {
	dst = append(slices.Grow(dst, messageSize), `{"op":"`...)
	dst = append(append(dst, m.Op...), '"')
	if m.Ref != nil {
		dst = append(append(dst, `,"ref":`...), m.Ref...)
	}
	if m.ID != "" && !m.EndsStream() {
		dst = append(dst, `,"id":`...)
		dst = jsonscan.AppendString(dst, m.ID)
	}
	before := len(dst)
	if dst = m.appendMembers(append(dst, ',')); len(dst) == before+1 {
		dst = dst[:before] // there are no members
	}
	return append(dst, '}')
}

// AppendSSE appends the message as one block, with its fields in the order retry, event, id, data.
// The data is never empty, because many libraries parse the data of every event as JSON.
func (m Message) AppendSSE(dst []byte) []byte {
	dst = slices.Grow(dst, messageSize)
	if m.Op == OpGoaway {
		m.Retry = max(m.Retry, time.Millisecond)
	}
	if m.Retry != 0 {
		dst = strconv.AppendInt(append(dst, "retry: "...), m.Retry.Milliseconds(), 10)
		dst = append(dst, '\n')
	}
	name := m.Op
	if name == OpHello {
		name = sseOpen
	}
	dst = append(append(append(dst, "event: "+sseControl...), name...), '\n')
	if m.ID != "" {
		dst = appendSSEField(dst, "id", m.ID)
	}
	dst = m.appendMembers(append(dst, "data: {"...))
	return append(dst, "}\n\n"...)
}

// appendMembers appends the members that are specific to the message's op.
func (m *Message) appendMembers(dst []byte) []byte {
	switch m.Op {
	case OpHello:
		if m.Session != "" {
			dst = jsonscan.AppendString(append(dst, `"session":`...), m.Session)
			dst = strconv.AppendInt(append(dst, `,"heartbeat_ms":`...), m.Heartbeat.Milliseconds(), 10)
		}
	case OpGap:
		dst = appendGapMembers(dst, m.Gap)
	case OpError:
		dst = m.Problem.AppendMembers(dst)
	case OpGoaway:
		dst = strconv.AppendInt(append(dst, `"retry_ms":`...), m.Retry.Milliseconds(), 10)
	}
	return dst
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

// DecodeMessage decodes one message that a WebSocket client receives. The caller must ignore a message whose op is
// unknown. Unknown members are ignored. The message may share b's memory.
func DecodeMessage(b []byte) (Message, error) {
	obj, err := jsonscan.Object(b)
	if err != nil {
		return Message{}, fmt.Errorf("message: %w", err)
	}
	var m Message
	err = jsonscan.Members(obj, func(name string, value []byte) (err error) {
		if name == "op" {
			m.Op, err = jsonscan.RequireString(name, value)
		}
		return err
	})
	switch {
	case err != nil:
	case m.Op == "":
		m.Event, err = decodeEnvelope(obj)
	default:
		err = m.decodeMembers(obj)
	}
	if err != nil {
		return Message{}, fmt.Errorf("message: %w", err)
	}
	return m, nil
}

// opOther is the op for an SSE event that is neither a control message nor an envelope.
const opOther = "?"

// DecodeSSE decodes one event of a stream with envelopes, as DecodeMessage does. retry is the reconnection time that the
// stream has set, or 0.
func DecodeSSE(e SSEEvent, retry time.Duration) (Message, error) {
	op, isControl := strings.CutPrefix(e.Type, sseControl)
	var err error
	m := Message{Op: op, ID: e.ID, Retry: retry, Heartbeat: HeartbeatUnknown}
	switch {
	case e.Type == "":
		m = Message{}
		m.Event, err = DecodeEnvelope([]byte(e.Data))
	case !isControl:
		m.Op = opOther
	case op == sseOpen:
		m.Op = OpHello
	case op == OpGap, op == OpError, op == OpGoaway:
		var obj []byte
		if obj, err = jsonscan.Object([]byte(e.Data)); err == nil {
			err = m.decodeMembers(obj)
		}
	}
	if err != nil {
		return Message{}, fmt.Errorf("message: %w", err)
	}
	return m, nil
}

// decodeMembers decodes the members of a message whose op is set.
func (m *Message) decodeMembers(obj []byte) (err error) {
	switch m.Op {
	case OpGap:
		m.Gap, err = decodeGap(obj)
	case OpError:
		m.Problem = new(problems.Problem)
		err = m.Problem.UnmarshalJSON(obj)
	}
	if err != nil {
		return err
	}
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

// DecodeGap decodes the data of trivium.gap, or the gap in the answer to a long-poll.
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
		err = errors.New("resumed_at: missing")
	}
	if err != nil {
		return nil, fmt.Errorf("gap: %w", err)
	}
	return g, nil
}

func millisecondsMember(name string, value []byte) (time.Duration, error) {
	n, err := strconv.ParseInt(string(value), 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/int64(time.Millisecond) {
		return 0, fmt.Errorf("%s: must be a whole number of milliseconds", name)
	}
	return time.Duration(n) * time.Millisecond, nil
}
