package websocket

import (
	"bytes"
	"math"
	"sync"

	"golang.org/x/time/rate"
)

// frames takes apart what the peer sends (RFC 6455, section 5), as the bytes come: no goroutine has
// to wait for the rest of a frame, and between two messages it holds no buffer. A mistake is found
// at the byte that makes it, and a message that is too big at its header.
type frames struct {
	// static

	limits  *Config
	limiter *rate.Limiter // of messages, pings and pongs
	deflate bool          // permessage-deflate was agreed on

	// owned by whoever takes

	payload *bytes.Buffer // of the message under way, unmasked; nil: there is none
	control []byte        // payload of the control frame under way, unmasked
	count   int           // frames of the message under way
	length  uint64        // of the frame's payload, as far as the header has told it
	left    uint64        // bytes of it that are to come
	key     [keyLength]byte
	kind    byte // how the message under way began
	first   byte // of the header
	second  byte
	closed  bool // a close frame has come, and nothing may follow
	next    part
	more    uint8 // bytes of the extended length, or of the key, that are to come
}

// receiver is told what has come whole. The bytes are its own until it returns.
type receiver interface {
	// reserve is called with the size of the memory that the message under way is about to take, and
	// with 0 when it is done.
	reserve(size int) *violation
	message(text []byte) *violation
	control(opcode byte, payload []byte) *violation
}

// part is what the next byte is of.
type part uint8

const (
	partFirst part = iota
	partSecond
	partLength
	partKey
	partPayload
)

// RFC 6455, section 5.2, and RFC 7692, section 6.
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
	opcodeControl      = 0x8 // the bit of all control frames, and the first of them
	opcodeClose        = 0x8
	opcodePing         = 0x9
	opcodePong         = 0xa

	maxControl = 125
	length16   = 126
	length64   = 127
)

// messages are the buffers of messages under way, of at most freeMessage.
var messages = sync.Pool{New: func() any { return new(bytes.Buffer) }}

func newMessage() *bytes.Buffer {
	b := messages.Get().(*bytes.Buffer)
	b.Reset()
	return b
}

func freeBuffer(b *bytes.Buffer) {
	if b.Cap() <= freeMessage {
		messages.Put(b)
	}
}

// grow makes room for n more bytes in a buffer of a message of at most limit bytes, for which other
// memory is reserved already.
func grow(b *bytes.Buffer, n, other int, limit int64, to receiver) *violation {
	need := b.Len() + n
	if need <= b.Cap() {
		return nil
	}
	size := max(need, int(min(int64(max(2*b.Cap(), firstMessage)), limit)))
	if v := to.reserve(other + size); v != nil {
		return v
	}
	*b = *bytes.NewBuffer(append(make([]byte, 0, size), b.Bytes()...))
	return nil
}

// firstMessage is the memory that a message begins with, unless it is known to be larger.
const firstMessage = 512 // bytes

// take takes the next bytes and gives how many: fewer than all where one makes a mistake, or where a
// close frame came before.
func (f *frames) take(p []byte, to receiver) (n int, v *violation) {
	for n < len(p) && !f.closed {
		if f.next == partPayload {
			k := int(min(f.left, uint64(len(p)-n)))
			if v := f.add(p[n:n+k], to); v != nil {
				return n, v
			}
			n += k
		} else {
			if v := f.header(p[n]); v != nil {
				return n, v
			}
			n++
		}
		if f.next == partPayload && f.left == 0 {
			f.next = partFirst
			if v := f.end(to); v != nil {
				return n, v
			}
		}
	}
	return n, nil
}

// add takes bytes of a payload.
func (f *frames) add(p []byte, to receiver) *violation {
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
	at := int((f.length - f.left) % keyLength)
	for i := range added {
		added[i] ^= f.key[(at+i)%keyLength]
	}
	f.left -= uint64(len(p))
	return nil
}

// end is called when a frame is whole.
func (f *frames) end(to receiver) *violation {
	switch {
	case f.isControl():
		payload := f.control
		f.control, f.closed = nil, f.first&opcodeMask == opcodeClose
		return to.control(f.first&opcodeMask, payload)
	case f.first&bitFin == 0:
		return nil
	}
	whole := f.payload
	f.payload = nil
	defer to.reserve(0)
	defer freeBuffer(whole)
	if f.kind&bitCompressed == 0 {
		return to.message(whole.Bytes())
	}
	inflated := newMessage()
	defer freeBuffer(inflated)
	if v := inflate(inflated, whole, f.count, f.limits.MaxMessage, to); v != nil {
		return v
	}
	return to.message(inflated.Bytes())
}

// header takes the next byte of a header. What it refuses it refuses as soon as it can be known.
func (f *frames) header(b byte) *violation {
	switch f.next {
	case partFirst:
		f.first, f.next = b, partSecond
		return f.begin()
	case partSecond:
		f.second, f.length = b&^bitMask, 0
		switch {
		case b&bitMask == 0:
			return notMasked
		case f.isControl() && f.second > maxControl:
			return longControl
		}
		switch f.second {
		case length16:
			f.next, f.more = partLength, 2
		case length64:
			f.next, f.more = partLength, 8
		default:
			f.length = uint64(f.second)
			return f.announced()
		}
	case partLength:
		f.length = f.length<<8 | uint64(b)
		if f.more--; f.more > 0 {
			return nil
		}
		switch {
		case f.length > math.MaxInt64:
			return badLength
		case f.second == length16 && f.length < length16, f.second == length64 && f.length <= math.MaxUint16:
			return notMinimal
		}
		return f.announced()
	case partKey:
		f.key[keyLength-f.more] = b
		if f.more--; f.more == 0 {
			f.next, f.left = partPayload, f.length
		}
	}
	return nil
}

func (f *frames) isControl() bool { return f.first&opcodeControl != 0 }

// begin looks at the first byte of a frame, and counts it. The frames of a message count toward the
// limit of the message, which itself counts toward the rate, so that both bound the frames a second.
// Pings and pongs count toward the rate; a close frame, of which there is one, for nothing.
func (f *frames) begin() *violation {
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
		if f.count++; f.count > f.limits.MaxFragments {
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
		f.kind, f.count, f.payload = f.first, 1, newMessage()
	}
	return nil
}

// announced is called when the length of a frame is known.
func (f *frames) announced() *violation {
	f.next, f.more = partKey, keyLength
	switch {
	case f.isControl():
	case f.length > uint64(f.limits.MaxMessage)-uint64(f.payload.Len()):
		return tooBig
	case f.kind&opcodeMask == opcodeBinary:
		return notText
	}
	return nil
}
