package wire

import (
	"bytes"
	"fmt"
	"time"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/hub/jsonscan"
)

// Operations of a client's WebSocket messages (docs/protocol.md#commands).
const (
	OpSubscribe   = "subscribe"
	OpUnsubscribe = "unsubscribe"
	OpPublish     = "publish"
	OpAuth        = "auth"
	OpPing        = "ping"
)

const maxRefLen = 128 // bytes of raw JSON

// Command is one message of a WebSocket client. Besides Op and Ref, only the fields that belong to its
// operation are set.
type Command struct {
	Op  string
	Ref Ref // nil if absent

	// Topics contains the filters of subscribe or unsubscribe, which are not parsed yet. It is nil for
	// a subscribe without filters; an unsubscribe has at least one filter.
	Topics []string
	// Cursor, Last and Since belong to subscribe; nil if absent. See Start.
	Cursor, Last, Since *string

	Token string // belongs to auth; not empty

	Event          *hub.Event // belongs to publish; parsed, but not validated
	IdempotencyKey string     // belongs to publish; "" if absent
}

// Start returns the start position of a subscribe command. Its error is that of ParseStart.
func (c *Command) Start(now time.Time) (hub.Start, error) {
	return ParseStart(c.Cursor, c.Last, c.Since, now)
}

// PositionMember returns the name of the member that sets the start position of a subscribe command, or
// "" if the command has no such member.
func (c *Command) PositionMember() string {
	switch {
	case c.Cursor != nil && *c.Cursor != "":
		return "cursor"
	case c.Last != nil:
		return "last"
	case c.Since != nil:
		return "since"
	}
	return ""
}

// ParseCommand parses one message of a WebSocket client. The command does not share memory with b.
// Members that the operation does not use are ignored. A subscribe or unsubscribe may have at most
// maxTopics filters (0: any number), including duplicates. Parsing stops at the first filter above the
// limit.
//
// The error is a *hub.InvalidError that names the member, or "message" if b is not a JSON object.
// Even with an error, the returned command contains the ref if it is valid, so that the error message
// can repeat it.
func ParseCommand(b []byte, maxTopics int) (Command, error) {
	b = jsonscan.Trim(b)
	if !jsonscan.Valid(b) {
		return Command{}, badInput("message", jsonFault(b))
	}
	if b[0] != '{' {
		return Command{}, badInput("message", "must be a JSON object")
	}
	var f commandFields
	f.read(b)
	var c Command
	var err error
	if c.Ref, err = parseRef(f.ref); err != nil {
		return Command{}, err
	}
	if f.duplicate != "" {
		return c, badInput(f.duplicate, "must be given only once")
	}
	if f.op == nil {
		return c, badInput("op", "missing; every message needs an operation")
	}
	if c.Op, err = requireString("op", f.op); err != nil {
		return c, err
	}
	switch c.Op {
	case OpSubscribe:
		err = c.parseSubscribe(&f, maxTopics)
	case OpUnsubscribe:
		err = c.parseUnsubscribe(&f, maxTopics)
	case OpPublish:
		err = c.parsePublish(&f, b)
	case OpAuth:
		err = c.parseAuth(&f)
	case OpPing:
	default:
		err = badInput("op", "must be subscribe, unsubscribe, publish, auth or ping")
	}
	return c, err
}

// commandFields holds the raw values of a command's members; nil if absent. It does not contain the
// members of a published event, which parseEnvelope reads.
type commandFields struct {
	op, ref, topic, cursor, last, since, token, idempotencyKey []byte

	duplicate string // name of a member that occurs twice; "": none
}

func (f *commandFields) read(obj []byte) {
	_ = jsonscan.Members(obj, func(name string, value []byte) error {
		slot := f.slot(name)
		if slot == nil {
			return nil
		}
		if *slot != nil {
			f.duplicate = name
		}
		*slot = value
		return nil
	})
}

func (f *commandFields) slot(name string) *[]byte {
	switch name {
	case "op":
		return &f.op
	case "ref":
		return &f.ref
	case "topic":
		return &f.topic
	case "cursor":
		return &f.cursor
	case "last":
		return &f.last
	case "since":
		return &f.since
	case "token":
		return &f.token
	case "idempotency_key":
		return &f.idempotencyKey
	}
	return nil
}

// parseRef returns a copy of the raw JSON of a ref. It does not convert numbers, so that the answer
// contains exactly the bytes that the client has sent.
func parseRef(value []byte) (Ref, error) {
	switch {
	case value == nil:
		return nil, nil
	case !jsonscan.IsString(value) && !isNumber(value):
		return nil, badInput("ref", "must be a string or a number")
	case len(value) > maxRefLen:
		return nil, badInput("ref", fmt.Sprintf("at most %d bytes of JSON are allowed, got %d", maxRefLen, len(value)))
	}
	return Ref(bytes.Clone(value)), nil
}

func isNumber(value []byte) bool {
	return value[0] == '-' || '0' <= value[0] && value[0] <= '9'
}

func (c *Command) parseSubscribe(f *commandFields, maxTopics int) error {
	var err error
	if c.Topics, err = parseTopics(f.topic, maxTopics); err != nil {
		return err
	}
	if c.Cursor, err = optionalString("cursor", f.cursor); err != nil {
		return err
	}
	if c.Since, err = optionalString("since", f.since); err != nil {
		return err
	}
	if f.last != nil {
		if !isNumber(f.last) {
			return badInput("last", "must be a number")
		}
		last := string(f.last)
		c.Last = &last
	}
	return nil
}

func (c *Command) parseUnsubscribe(f *commandFields, maxTopics int) error {
	if f.topic == nil {
		return badInput("topic", "missing; name the filters to remove")
	}
	var err error
	c.Topics, err = parseTopics(f.topic, maxTopics)
	return err
}

// parseTopics parses a string or a list of strings, which are filters. The list may have at most limit
// elements (0: any number). The filters themselves are not parsed.
func parseTopics(value []byte, limit int) ([]string, error) {
	switch {
	case value == nil:
		return nil, nil
	case jsonscan.IsString(value):
		topic, err := requireString("topic", value)
		return []string{topic}, err
	case value[0] != '[':
		return nil, badInput("topic", "must be a filter or a list of filters")
	}
	var topics []string
	err := jsonscan.Elements(value, func(value []byte) error {
		if limit > 0 && len(topics) == limit {
			return badInput("topic", fmt.Sprintf("at most %d filters are allowed, duplicates included", limit))
		}
		if !jsonscan.IsString(value) {
			return badInput("topic", "must be a list of strings")
		}
		topic, err := requireString("topic", value)
		topics = append(topics, topic)
		return err
	})
	if err == nil && len(topics) == 0 {
		err = badInput("topic", "must be a list of at least one filter")
	}
	return topics, err
}

func (c *Command) parsePublish(f *commandFields, message []byte) error {
	if f.idempotencyKey != nil {
		key, err := requireString("idempotency_key", f.idempotencyKey)
		if err != nil {
			return err
		}
		if key == "" || len(key) > hub.MaxIdempotencyKeyLen {
			return badInput("idempotency_key", fmt.Sprintf("must have 1 to %d bytes, got %d", hub.MaxIdempotencyKeyLen, len(key)))
		}
		c.IdempotencyKey = key
	}
	var err error
	c.Event, err = parseEnvelope(message)
	return err
}

func (c *Command) parseAuth(f *commandFields) error {
	if f.token == nil {
		return badInput("token", "missing; auth needs a new token")
	}
	var err error
	if c.Token, err = requireString("token", f.token); err == nil && c.Token == "" {
		err = badInput("token", "must not be empty")
	}
	return err
}

func optionalString(name string, value []byte) (*string, error) {
	if value == nil {
		return nil, nil
	}
	s, err := requireString(name, value)
	if err != nil {
		return nil, err
	}
	return &s, nil
}
