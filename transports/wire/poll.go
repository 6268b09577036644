package wire

import (
	"errors"
	"fmt"

	"github.com/trivium-hub/trivium/hub"
)

// AppendPollHead appends the begin of the body of a long-poll's answer (docs/protocol.md#long-poll), up to its
// first event; gap is nil if there is none. The envelopes follow with commas between them, and then
// PollEnd.
func AppendPollHead(dst []byte, cursor string, gap *hub.Gap) []byte {
	dst = append(dst, `{"cursor":`...)
	dst = appendQuoted(dst, cursor)
	if gap != nil {
		dst = append(dst, `,"gap":{`...)
		dst = append(appendGapMembers(dst, gap), '}')
	}
	return append(dst, `,"events":[`...)
}

// PollEnd is the end of the body of a long-poll's answer.
const PollEnd = "]}"

// AppendPollAnswer appends the whole body. The envelopes come from FormFrame, so that pollers and
// WebSockets share them.
func AppendPollAnswer(dst []byte, cursor string, gap *hub.Gap, events []*hub.Event) []byte {
	dst = AppendPollHead(dst, cursor, gap)
	for i, e := range events {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, FramePayload(e.Form(FormFrame, EncodeFrame))...)
	}
	return append(dst, PollEnd...)
}

// PollAnswer is what a long-poll got.
type PollAnswer struct {
	Cursor string   // where to ask again; opaque to a client
	Gap    *hub.Gap // nil: none
	Events []*hub.Event
}

// DecodePollAnswer reads the body of a long-poll's answer. Members that are not known are passed
// over; the cursor must be there. The events may share b's memory.
func DecodePollAnswer(b []byte) (PollAnswer, error) {
	var a PollAnswer
	obj, err := trimObject(b)
	if err == nil {
		err = members(obj, a.member)
	}
	if err == nil && a.Cursor == "" {
		err = errors.New("cursor: must be there")
	}
	if err != nil {
		return PollAnswer{}, fmt.Errorf("poll answer: %w", err)
	}
	return a, nil
}

func (a *PollAnswer) member(name string, value []byte) (err error) {
	switch name {
	case "cursor":
		a.Cursor, err = requireString(name, value)
	case "gap":
		a.Gap, err = DecodeGap(value)
	case "events":
		if value[0] != '[' {
			return errors.New("events: a list is expected")
		}
		err = elements(value, func(envelope []byte) error {
			e, err := DecodeEnvelope(envelope)
			if err != nil {
				return fmt.Errorf("events: %w", err)
			}
			a.Events = append(a.Events, e)
			return nil
		})
	}
	return err
}
