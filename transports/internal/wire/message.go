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

// Ref is an identifier that the client chooses for a command: the raw JSON of a string or number. The
// answer to the command contains the same bytes. Ref is nil if the command has no identifier.
type Ref []byte

// Ops of the hub's control messages (docs/protocol.md#control-messages). An event has no op. Over
// SSE, the name of a control message is sseControl followed by its op. Only hello has a different name:
// trivium.open.
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

// SSENames contains the names of all control messages over SSE. No event has one of these names.
var SSENames = []string{
	sseControl + sseOpen, sseControl + OpHeartbeat, sseControl + OpGap, sseControl + OpError, sseControl + OpGoaway,
}

// HeartbeatUnknown is the value of Message.Heartbeat for a hello that does not contain the heartbeat
// interval.
const HeartbeatUnknown time.Duration = -1

// Message is one message from the hub to a subscriber. The Op determines which fields are set.
// AppendJSON and AppendSSE encode all messages except events, which have their own encoders.
type Message struct {
	Op    string     // "": an event
	Event *hub.Event // set for an event
	// ID is a position, which is opaque to a client. In JSON, error and goaway have no ID.
	ID        string
	Ref       Ref               // set for ack and error
	Session   string            // set for hello; SSE does not use it
	Heartbeat time.Duration     // heartbeat interval, set for hello; 0: no heartbeats; sent only with Session
	Gap       *hub.Gap          // set for gap
	Problem   *problems.Problem // set for error
	Retry     time.Duration     // delay before reconnecting; set for goaway, and over SSE also for hello and error
}

// EndsStream reports whether the message is the last message of its stream. It is not meaningful for a
// message that answers a command.
func (m *Message) EndsStream() bool { return m.Op == OpError || m.Op == OpGoaway }

// Resumable reports whether the client should resume after a message that ends the stream.
func (m *Message) Resumable() bool { return m.Op == OpGoaway || m.Problem.Temporary() }

// GapMessage returns the message for a gap. Its ID is the position at which the gap ends.
func GapMessage(g *hub.Gap) Message { return Message{Op: OpGap, ID: g.ResumedAt.String(), Gap: g} }

// messageSize is the initial capacity for an encoded message, in bytes. It is large enough for most
// messages, so that they need only one allocation.
const messageSize = 128

// AppendJSON appends the message in the format for WebSocket, a JSON object.
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
		dst = dst[:before] // removes the comma, because there are no members
	}
	return append(dst, '}')
}

// AppendSSE appends the message as one SSE block, with its fields in the order retry, event, id, data.
// The data is never empty, because many SSE libraries parse the data of every event as JSON.
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

// appendMembers appends the JSON members that are specific to the message's op.
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

// DecodeMessage decodes one message that a WebSocket client has received. It ignores unknown members.
// The caller must ignore a message with an unknown op. The message may share memory with b.
func DecodeMessage(b []byte) (Message, error) {
	obj, err := jsonscan.Object(b)
	if err != nil {
		return Message{}, fmt.Errorf("message: %w", err)
	}
	var m Message
	err = jsonscan.Members(obj, func(name string, value []byte) (err error) {
		if name == "op" {
			m.Op, err = requireString(name, value)
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

// opOther is the op of a Message for an SSE event that is neither a control message nor an envelope.
const opOther = "?"

// DecodeSSE is like DecodeMessage for one SSE event of a stream with envelopes. retry is the
// reconnection time that the stream has set, or 0.
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

// decodeMembers decodes the members of a control message. m.Op must be set.
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
			m.ID, err = requireString(name, value)
		case "ref":
			m.Ref = value
		case "session":
			m.Session, err = requireString(name, value)
		case "heartbeat_ms":
			m.Heartbeat, err = millisecondsMember(name, value)
		case "retry_ms":
			m.Retry, err = millisecondsMember(name, value)
		}
		return err
	})
}

// DecodeGap decodes the data of an SSE event trivium.gap, or the member gap of a poll answer.
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
			s, err = requireString(name, value)
			g.Reason = hub.GapReason(s)
		case "after":
			g.After, err = requireString(name, value)
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
