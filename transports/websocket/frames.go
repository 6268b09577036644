package websocket

import (
	"bytes"
	"math"
	"sync"

	"golang.org/x/time/rate"
)

// frameReader parses the peer's frames (RFC 6455, section 5) incrementally, so that no goroutine has to
// wait for the rest of a frame. Between messages it holds no buffer. It detects an error at the byte that
// causes it. It detects that a message is too large as soon as it has parsed the header of the frame that
// exceeds the limit.
type frameReader struct {
	// Static fields.

	limits  *Config
	limiter *rate.Limiter // limits messages, pings and pongs
	deflate bool          // whether permessage-deflate was negotiated

	// Owned by the goroutine that calls feed.

	payload       *bytes.Buffer   // payload of the current message, unmasked; nil: there is no current message
	control       []byte          // payload of the current control frame, unmasked
	frameCount    int             // number of frames of the current message so far
	length        uint64          // payload length of the current frame, as far as its header was parsed
	payloadLeft   uint64          // number of payload bytes that have not arrived
	key           [keyLength]byte // masking key of the current frame
	messageHeader byte            // first header byte of the first frame of the current message
	first         byte            // first header byte of the current frame
	second        byte            // second header byte of the current frame, without the mask bit
	closeReceived bool            // whether a close frame was received; later input is not parsed
	state         parseState
	headerLeft    uint8 // number of bytes of the extended length or of the key that have not arrived
}

// receiver handles complete messages and control frames. Its methods must not keep the bytes after they
// return.
type receiver interface {
	// reserve reserves memory for the current message. size is the total size of the memory, in bytes.
	// reserve is called before the memory is allocated, and with size 0 after the message was handled.
	reserve(size int) *violation
	message(text []byte) *violation
	control(opcode byte, payload []byte) *violation
}

// parseState is the part of a frame to which the next byte belongs.
type parseState uint8

const (
	stateFirstByte parseState = iota
	stateSecondByte
	stateLength
	stateKey
	statePayload
)

// Bits and opcodes of RFC 6455, section 5.2, and RFC 7692, section 6.
const (
	bitFin        = 0x80
	bitsReserved  = 0x70
	bitCompressed = 0x40
	bitMask       = 0x80
	opcodeMask    = 0x0f
	keyLength     = 4

	opcodeContinuation = 0x0
	opcodeText         = 0x1
	opcodeBinary       = 0x2
	opcodeControl      = 0x8 // a bit that is set in the opcodes of all control frames
	opcodeClose        = 0x8
	opcodePing         = 0x9
	opcodePong         = 0xa

	maxControl = 125
	length16   = 126
	length64   = 127
)

// messageBuffers is a pool of message buffers of at most uncountedSize bytes.
var messageBuffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

func newMessageBuffer() *bytes.Buffer {
	b := messageBuffers.Get().(*bytes.Buffer)
	b.Reset()
	return b
}

func freeMessageBuffer(b *bytes.Buffer) {
	if b.Cap() <= uncountedSize {
		messageBuffers.Put(b)
	}
}

// grow makes room for n more bytes in the buffer of a message, which may have at most limit bytes. other
// is the size of further memory for the message, which is reserved together with the buffer.
func grow(b *bytes.Buffer, n, other int, limit int64, to receiver) *violation {
	need := b.Len() + n
	if need <= b.Cap() {
		return nil
	}
	size := max(need, int(min(int64(max(2*b.Cap(), initialSize)), limit)))
	if v := to.reserve(other + size); v != nil {
		return v
	}
	*b = *bytes.NewBuffer(append(make([]byte, 0, size), b.Bytes()...))
	return nil
}

// initialSize is the minimum capacity that grow allocates, in bytes, unless the limit of the message is
// lower.
const initialSize = 512

// feed parses the next bytes of input and returns the number of parsed bytes. It stops at a violation and
// after a close frame.
func (f *frameReader) feed(p []byte, to receiver) (n int, v *violation) {
	for n < len(p) && !f.closeReceived {
		if f.state == statePayload {
			k := int(min(f.payloadLeft, uint64(len(p)-n)))
			if v := f.addPayload(p[n:n+k], to); v != nil {
				return n, v
			}
			n += k
		} else {
			if v := f.headerByte(p[n]); v != nil {
				return n, v
			}
			n++
		}
		if f.state == statePayload && f.payloadLeft == 0 {
			f.state = stateFirstByte
			if v := f.finishFrame(to); v != nil {
				return n, v
			}
		}
	}
	return n, nil
}

// addPayload unmasks bytes of a payload and appends them to the current message or control frame.
func (f *frameReader) addPayload(p []byte, to receiver) *violation {
	var added []byte
	if f.isControl() {
		f.control = append(f.control, p...)
		added = f.control[len(f.control)-len(p):]
	} else {
		if v := grow(f.payload, len(p), 0, f.limits.MaxMessage, to); v != nil {
			return v
		}
		f.payload.Write(p)
		added = f.payload.Bytes()[f.payload.Len()-len(p):]
	}
	at := int((f.length - f.payloadLeft) % keyLength)
	for i := range added {
		added[i] ^= f.key[(at+i)%keyLength]
	}
	f.payloadLeft -= uint64(len(p))
	return nil
}

// finishFrame handles a complete frame.
func (f *frameReader) finishFrame(to receiver) *violation {
	switch {
	case f.isControl():
		payload := f.control
		f.control, f.closeReceived = nil, f.first&opcodeMask == opcodeClose
		return to.control(f.first&opcodeMask, payload)
	case f.first&bitFin == 0:
		return nil
	}
	whole := f.payload
	f.payload = nil
	defer to.reserve(0)
	defer freeMessageBuffer(whole)
	if f.messageHeader&bitCompressed == 0 {
		return to.message(whole.Bytes())
	}
	inflated := newMessageBuffer()
	defer freeMessageBuffer(inflated)
	if v := inflate(inflated, whole, f.frameCount, f.limits.MaxMessage, to); v != nil {
		return v
	}
	return to.message(inflated.Bytes())
}

// headerByte parses the next byte of a frame's header. It returns a violation at the first byte that
// makes the frame invalid.
func (f *frameReader) headerByte(b byte) *violation {
	switch f.state {
	case stateFirstByte:
		f.first, f.state = b, stateSecondByte
		return f.startFrame()
	case stateSecondByte:
		f.second, f.length = b&^bitMask, 0
		switch {
		case b&bitMask == 0:
			return notMasked
		case f.isControl() && f.second > maxControl:
			return longControl
		}
		switch f.second {
		case length16:
			f.state, f.headerLeft = stateLength, 2
		case length64:
			f.state, f.headerLeft = stateLength, 8
		default:
			f.length = uint64(f.second)
			return f.lengthKnown()
		}
	case stateLength:
		f.length = f.length<<8 | uint64(b)
		if f.headerLeft--; f.headerLeft > 0 {
			return nil
		}
		switch {
		case f.length > math.MaxInt64:
			return badLength
		case f.second == length16 && f.length < length16, f.second == length64 && f.length <= math.MaxUint16:
			return notMinimal
		}
		return f.lengthKnown()
	case stateKey:
		f.key[keyLength-f.headerLeft] = b
		if f.headerLeft--; f.headerLeft == 0 {
			f.state, f.payloadLeft = statePayload, f.length
		}
	}
	return nil
}

func (f *frameReader) isControl() bool { return f.first&opcodeControl != 0 }

// startFrame checks the first byte of a frame and counts the frame. The frames of a message count toward
// the limit of frames per message. Messages, pings and pongs count toward the rate limit. Together, both
// limits bound the number of frames per second. A close frame is not counted, because no frame is parsed
// after it.
func (f *frameReader) startFrame() *violation {
	opcode, reserved := f.first&opcodeMask, f.first&bitsReserved
	if f.deflate && (opcode == opcodeText || opcode == opcodeBinary) {
		reserved &^= bitCompressed
	}
	switch {
	case reserved != 0:
		return badFrame
	case opcode == opcodeContinuation:
		if f.payload == nil {
			return badFrame
		}
		if f.frameCount++; f.frameCount > f.limits.MaxFragments {
			return tooManyFrames
		}
		return nil
	case opcode == opcodeText, opcode == opcodeBinary:
		if f.payload != nil {
			return badFrame
		}
	case opcode < opcodeControl, opcode > opcodePong, f.first&bitFin == 0:
		return badFrame
	}
	if opcode == opcodeClose {
		return nil
	}
	if !f.limiter.Allow() {
		return tooFast
	}
	if !f.isControl() {
		f.messageHeader, f.frameCount, f.payload = f.first, 1, newMessageBuffer()
	}
	return nil
}

// lengthKnown checks the current frame after its payload length was parsed.
func (f *frameReader) lengthKnown() *violation {
	f.state, f.headerLeft = stateKey, keyLength
	switch {
	case f.isControl():
	case f.length > uint64(f.limits.MaxMessage)-uint64(f.payload.Len()):
		return tooBig
	case f.messageHeader&opcodeMask == opcodeBinary:
		return notText
	}
	return nil
}
