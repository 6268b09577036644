package wire

import (
	"errors"
	"fmt"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/hub/jsonscan"
)

// AppendPollHead appends the start of the body of a poll answer (docs/protocol.md#long-poll), up to the
// first event. gap may be nil. The caller must then append the envelopes with commas between them, and
// PollEnd.
func AppendPollHead(dst []byte, cursor string, gap *hub.Gap) []byte {
	dst = append(dst, `{"cursor":`...)
	dst = jsonscan.AppendString(dst, cursor)
	if gap != nil {
		dst = append(dst, `,"gap":{`...)
		dst = append(appendGapMembers(dst, gap), '}')
	}
	return append(dst, `,"events":[`...)
}

// PollEnd is the end of the body of a poll answer.
const PollEnd = "]}"

// AppendPollAnswer appends the whole body of a poll answer.
func AppendPollAnswer(dst []byte, cursor string, gap *hub.Gap, events []*hub.Event) []byte {
	dst = AppendPollHead(dst, cursor, gap)
	for i, e := range events {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, FramePayload(EncodeFrame(e))...)
	}
	return append(dst, PollEnd...)
}

// PollAnswer is the decoded body of a poll answer.
type PollAnswer struct {
	Cursor string // cursor of the next request; opaque to a client
	Gap    *hub.Gap
	Events []*hub.Event
}

// DecodePollAnswer decodes the body of a poll answer. It ignores unknown members. The cursor is required.
// The events may share memory with b.
func DecodePollAnswer(b []byte) (PollAnswer, error) {
	var a PollAnswer
	obj, err := jsonscan.Object(b)
	if err == nil {
		err = jsonscan.Members(obj, a.member)
	}
	if err == nil && a.Cursor == "" {
		err = errors.New("cursor: missing")
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
			return errors.New("events: must be a list")
		}
		err = jsonscan.Elements(value, func(envelope []byte) error {
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
