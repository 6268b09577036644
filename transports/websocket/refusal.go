package websocket

import "sync/atomic"

// reason is what a refusal is counted under.
type reason int

const (
	reasonRate reason = iota
	reasonFragments
	reasonTooBig
	reasonProtocol
	reasonReceiving
	reasonReceivingTime
	reasonBlocks
	reasons
)

var reasonNames = [reasons]string{"rate", "fragments", "too_big", "protocol", "receiving", "receiving_time", "blocks"}

// Refusals count the connections that were closed for what their peer sent, each once, by the
// first thing that was refused.
type Refusals struct {
	counts [reasons]atomic.Uint64
}

// ByReason gives the counts: "rate" (more messages, pings and pongs a second than MessageRate),
// "fragments" (over MaxFragments), "too_big" (over MaxMessage), "protocol" (what RFC 6455 does not
// allow, or a binary message), "receiving" (no room for it in the Intake), and "receiving_time" (a
// message did not arrive as a whole in its time), and "blocks" (a compressed message of too many blocks
// for what is in it).
func (r *Refusals) ByReason() map[string]uint64 {
	m := make(map[string]uint64, reasons)
	for i, name := range reasonNames {
		m[name] = r.counts[i].Load()
	}
	return m
}

// violation is a rule that a peer can break; nil: it has not.
type violation struct {
	reason reason
	code   int // RFC 6455, section 7.4.1
	text   string
}

var (
	tooFast       = &violation{reasonRate, policyViolation, "too many messages a second, pings and pongs among them"}
	tooManyFrames = &violation{reasonFragments, policyViolation, "too many frames in one message"}
	tooBig        = &violation{reasonTooBig, messageTooBig, "message too big"}
	tooManyBlocks = &violation{reasonBlocks, policyViolation, "too many deflate blocks for what is in the message"}
	notText       = &violation{reasonProtocol, unsupportedData, "messages are text"}
	notUTF8       = &violation{reasonProtocol, invalidPayload, "text is UTF-8"}
	notMasked     = &violation{reasonProtocol, protocolError, "frames of a client are masked"}
	notMinimal    = &violation{reasonProtocol, protocolError, "a length takes no more bytes than it needs"}
	badLength     = &violation{reasonProtocol, protocolError, "a length is below 2^63"}
	longControl   = &violation{reasonProtocol, protocolError, "a control frame has at most 125 bytes"}
	badReason     = &violation{reasonProtocol, invalidPayload, "a reason is UTF-8"}
	badFrame      = &violation{reasonProtocol, protocolError, "protocol error"}
)
