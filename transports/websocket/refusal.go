package websocket

import (
	"sync/atomic"
)

// reason is the kind of a violation, for metrics.
type reason int

const (
	reasonRate reason = iota
	reasonFragments
	reasonTooBig
	reasonProtocol
	reasonReceiving
	reasonReceivingTime
	reasonBlocks
	reasonCount
)

var reasonNames = [reasonCount]string{"rate", "fragments", "too_big", "protocol", "receiving", "receiving_time", "blocks"}

// Refusals counts the connections that the hub has closed because of invalid or excessive input. Each
// connection is counted once, for its first violation.
type Refusals struct {
	counts [reasonCount]atomic.Uint64
}

// ByReason returns the number of connections by reason:
//
//	rate            more messages, pings and pongs per second than Config.MessageRate
//	fragments       more frames in a message than Config.MaxFragments
//	too_big         a message larger than Config.MaxMessage
//	protocol        a violation of RFC 6455, or a binary message
//	receiving       no memory in Config.Intake
//	receiving_time  a message that did not arrive in time
//	blocks          a compressed message with too many deflate blocks for its content
func (r *Refusals) ByReason() map[string]uint64 {
	m := make(map[string]uint64, reasonCount)
	for i, name := range reasonNames {
		m[name] = r.counts[i].Load()
	}
	return m
}

// violation describes the rule that the peer has violated.
type violation struct {
	reason reason
	code   int    // status code of the close frame (RFC 6455, section 7.4.1)
	text   string // description for the peer
}

var (
	tooFast       = &violation{reasonRate, policyViolation, "too many messages, pings and pongs per second"}
	tooManyFrames = &violation{reasonFragments, policyViolation, "too many frames in one message"}
	tooBig        = &violation{reasonTooBig, messageTooBig, "message too big"}
	tooManyBlocks = &violation{reasonBlocks, policyViolation, "too many deflate blocks for the content of the message"}
	notText       = &violation{reasonProtocol, unsupportedData, "messages must be text"}
	notUTF8       = &violation{reasonProtocol, invalidPayload, "text must be UTF-8"}
	notMasked     = &violation{reasonProtocol, protocolError, "frames of a client must be masked"}
	notMinimal    = &violation{reasonProtocol, protocolError, "the length of a frame must be encoded in as few bytes as possible"}
	badLength     = &violation{reasonProtocol, protocolError, "the length of a frame must be below 2^63"}
	longControl   = &violation{reasonProtocol, protocolError, "a control frame must have at most 125 bytes"}
	badReason     = &violation{reasonProtocol, invalidPayload, "a close reason must be UTF-8"}
	badFrame      = &violation{reasonProtocol, protocolError, "protocol error"}
)
