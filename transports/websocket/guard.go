package websocket

import (
	"math"

	"golang.org/x/time/rate"
)

// guard looks at the frames of the peer before the library does, for what the library takes and
// should not, or refuses only when it has come. It sees every byte, keeps none, and allocates
// nothing. Other mistakes pass: the library finds them at the same header.
type guard struct {
	// static

	limits  *Config
	limiter *rate.Limiter // of messages, pings and pongs

	// owned by the reader

	refused  *violation // nothing passes any more
	skip     uint64     // bytes that may pass before the next header: masking key and payload
	length   uint64     // of the payload, as far as the header has told it
	message  uint64     // bytes that the frames of the message under way have announced
	frames   int        // of the message under way
	first    byte       // of the header
	second   byte
	expected part
	more     uint8 // bytes of the extended length that are to come
}

// part is what the next byte of a header is.
type part uint8

const (
	partFirst part = iota
	partSecond
	partLength
)

// RFC 6455, section 5.2.
const (
	bitFin     = 0x80
	bitMask    = 0x80
	opcodeMask = 0x0f
	keyLength  = 4

	opcodeContinuation = 0x0
	opcodeControl      = 0x8 // the bit of all control frames, and the first of them
	opcodeClose        = 0x8

	maxControl = 125
	length16   = 126
	length64   = 127
)

// pass reports how many bytes of p may pass: less than all of them when one breaks a rule, which
// is then in refused.
func (g *guard) pass(p []byte) int {
	for i := 0; i < len(p); {
		if g.skip > 0 {
			n := min(g.skip, uint64(len(p)-i))
			g.skip -= n
			i += int(n)
			continue
		}
		if g.refused = g.header(p[i]); g.refused != nil {
			return i
		}
		i++
	}
	return len(p)
}

// header takes the next byte of a header. What it refuses it refuses as soon as it can be known.
func (g *guard) header(b byte) *violation {
	switch g.expected {
	case partFirst:
		g.first, g.expected = b, partSecond
		return g.begin()
	case partSecond:
		g.second, g.length = b&^bitMask, 0
		switch {
		case b&bitMask == 0:
			return notMasked
		case g.isControl() && g.second > maxControl:
			return longControl
		}
		switch g.second {
		case length16:
			g.expected, g.more = partLength, 2
		case length64:
			g.expected, g.more = partLength, 8
		default:
			g.length = uint64(g.second)
			return g.announced()
		}
	case partLength:
		g.length = g.length<<8 | uint64(b)
		if g.more--; g.more > 0 {
			return nil
		}
		switch {
		case g.length > math.MaxInt64:
			return badLength
		case g.second == length16 && g.length < length16, g.second == length64 && g.length <= math.MaxUint16:
			return notMinimal
		}
		return g.announced()
	}
	return nil
}

func (g *guard) isControl() bool { return g.first&opcodeControl != 0 }

// begin counts a frame. The frames of a message count toward the limit of the message, which itself
// counts toward the rate, so that both bound the frames a second. Pings and pongs count toward the
// rate; a close frame, of which there is one, for nothing.
func (g *guard) begin() *violation {
	switch g.first & opcodeMask {
	case opcodeContinuation:
		if g.frames++; g.frames > g.limits.MaxFragments {
			return tooManyFrames
		}
		return nil
	case opcodeClose:
		return nil
	}
	if !g.isControl() {
		g.message, g.frames = 0, 1
	}
	if !g.limiter.Allow() {
		return tooFast
	}
	return nil
}

// announced ends a header, when its length is known.
func (g *guard) announced() *violation {
	g.expected = partFirst
	g.skip = keyLength + g.length
	if g.isControl() {
		return nil
	}
	if g.length > uint64(g.limits.MaxMessage)-g.message {
		return tooBig
	}
	g.message += g.length
	if g.first&bitFin != 0 {
		g.message, g.frames = 0, 0
	}
	return nil
}
