// Package decode decodes the messages that a hub sends, for end-to-end tests. It shares no code with the hub, except the
// code that decodes the envelope of an event, so that an error in the hub's code is not hidden.
package decode

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/client"
	"github.com/trivium-hub/trivium/transports/problems"
)

// These are the values of the member "op" of control messages (docs/protocol.md#control-messages). Events have no such
// member.
const (
	OpHello     = "hello"
	OpHeartbeat = "heartbeat"
	OpGap       = "gap"
	OpAck       = "ack"
	OpError     = "error"
	OpGoaway    = "goaway"
)

// Message is one message from the hub to a WebSocket client. Op determines which fields are set.
type Message struct {
	Op        string            // "": an event
	Event     *hub.Event        // set for an event
	ID        string            // set for hello, heartbeat, gap and ack
	Ref       json.RawMessage   // set for ack and error
	Session   string            // set for hello
	Heartbeat time.Duration     // set for hello
	Gap       *hub.Gap          // set for gap
	Problem   *problems.Problem // set for error
	Retry     time.Duration     // set for goaway
}

// DecodeMessage decodes one message from a hub to a WebSocket client.
func DecodeMessage(b []byte) (m Message, err error) {
	var members struct {
		Op          string          `json:"op"`
		ID          string          `json:"id"`
		Ref         json.RawMessage `json:"ref"`
		Session     string          `json:"session"`
		HeartbeatMS int64           `json:"heartbeat_ms"`
		RetryMS     int64           `json:"retry_ms"`
	}
	if err := json.Unmarshal(b, &members); err != nil {
		return m, fmt.Errorf("message: %w", err)
	}
	m.Op = members.Op
	switch m.Op {
	case "":
		m.Event, err = client.DecodeEnvelope(b)
		return m, err
	case OpGap:
		m.Gap, err = DecodeGap(b)
	case OpError:
		m.Problem = new(problems.Problem)
		err = json.Unmarshal(b, m.Problem)
	}
	m.ID, m.Ref, m.Session = members.ID, members.Ref, members.Session
	m.Heartbeat = time.Duration(members.HeartbeatMS) * time.Millisecond
	m.Retry = time.Duration(members.RetryMS) * time.Millisecond
	return m, err
}

// DecodeGap decodes the JSON object that reports a gap.
func DecodeGap(b []byte) (*hub.Gap, error) {
	var members struct {
		Reason    hub.GapReason `json:"reason"`
		After     string        `json:"after"`
		ResumedAt string        `json:"resumed_at"`
		Certain   bool          `json:"certain"`
	}
	if err := json.Unmarshal(b, &members); err != nil {
		return nil, fmt.Errorf("gap: %w", err)
	}
	resumed, err := hub.ParseCursor(members.ResumedAt)
	if err != nil {
		return nil, fmt.Errorf("gap: resumed_at: %w", err)
	}
	return &hub.Gap{Reason: members.Reason, After: members.After, ResumedAt: resumed, Certain: members.Certain}, nil
}

// PollAnswer is the answer to a long-poll.
type PollAnswer struct {
	Cursor string // cursor for the next request
	Gap    *hub.Gap
	Events []*hub.Event
}

// DecodePollAnswer decodes the body of the answer to a long-poll.
func DecodePollAnswer(b []byte) (PollAnswer, error) {
	var members struct {
		Cursor string            `json:"cursor"`
		Gap    json.RawMessage   `json:"gap"`
		Events []json.RawMessage `json:"events"`
	}
	if err := json.Unmarshal(b, &members); err != nil {
		return PollAnswer{}, fmt.Errorf("poll answer: %w", err)
	}
	if members.Cursor == "" {
		return PollAnswer{}, errors.New("poll answer: missing cursor")
	}
	answer := PollAnswer{Cursor: members.Cursor, Events: make([]*hub.Event, len(members.Events))}
	var err error
	for i, envelope := range members.Events {
		if answer.Events[i], err = client.DecodeEnvelope(envelope); err != nil {
			return PollAnswer{}, err
		}
	}
	if members.Gap != nil {
		answer.Gap, err = DecodeGap(members.Gap)
	}
	return answer, err
}
