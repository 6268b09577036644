package wire

import (
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/trivium-hub/trivium/hub"
)

// Parts of a frame's first byte, which consists of the bits FIN and RSV1 and the opcode (RFC 6455,
// section 5.2; RFC 7692, section 6).
const (
	finText       = 0x81
	finClose      = 0x88
	rsvCompressed = 0x40
)

// Lengths in a frame's header (RFC 6455, section 5.2).
const (
	maxShortPayload = 125            // maximum payload with a 7-bit length, and of a control frame, in bytes
	maxWordPayload  = math.MaxUint16 // maximum payload with a 16-bit length, in bytes
	length16        = 126            // second byte of a header with a 16-bit length
	length64        = 127            // second byte of a header with a 64-bit length
	maxFrameHeader  = 10             // maximum size of the header of an unmasked frame, in bytes
)

// EncodeFrame returns the event as FormFrame: the envelope in one unmasked text frame.
func EncodeFrame(e *hub.Event) []byte {
	s := newScratch(len(e.Data) + envelopeOverhead)
	defer s.free()
	s.b = AppendEnvelope(s.b, e)
	return AppendTextFrame(nil, s.b)
}

// AppendTextFrame appends one unmasked text frame with the payload.
func AppendTextFrame(dst, payload []byte) []byte {
	return appendFrame(dst, finText, payload)
}

// AppendCloseFrame appends an unmasked close frame (RFC 6455, section 5.5.1). The reason is
// truncated to 123 bytes at a rune boundary.
func AppendCloseFrame(dst []byte, code int, reason string) []byte {
	var payload [maxShortPayload]byte
	binary.BigEndian.PutUint16(payload[:], uint16(code))
	reason = strings.ToValidUTF8(reason, "\ufffd")
	n := min(len(reason), maxShortPayload-2)
	for n < len(reason) && !utf8.RuneStart(reason[n]) {
		n--
	}
	copy(payload[2:], reason[:n])
	return appendFrame(dst, finClose, payload[:2+n])
}

func appendFrame(dst []byte, first byte, payload []byte) []byte {
	var room [maxFrameHeader]byte
	header := append(room[:0], first)
	switch n := len(payload); {
	case n <= maxShortPayload:
		header = append(header, byte(n))
	case n <= maxWordPayload:
		header = binary.BigEndian.AppendUint16(append(header, length16), uint16(n))
	default:
		header = binary.BigEndian.AppendUint64(append(header, length64), uint64(n))
	}
	dst = slices.Grow(dst, len(header)+len(payload))
	return append(append(dst, header...), payload...)
}

// FramePayload returns the payload of one unmasked frame without copying it. The payload of a FormFrame
// is the event's envelope.
func FramePayload(frame []byte) []byte {
	switch frame[1] {
	case length16:
		return frame[4:]
	case length64:
		return frame[maxFrameHeader:]
	}
	return frame[2:]
}
