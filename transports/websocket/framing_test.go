package websocket_test

import (
	encoding "encoding/binary"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/time/rate"
	"pgregory.net/rapid"

	tt "github.com/trivium-hub/trivium/transports/internal/transporttest"
	"github.com/trivium-hub/trivium/transports/websocket"
)

type verdict = websocket.Verdict

var (
	fine       verdict
	rateOver   = verdict{"rate", 1008}
	fragments  = verdict{"fragments", 1008}
	tooBig     = verdict{"too_big", 1009}
	noProtocol = verdict{"protocol", 1002}
)

// hostile lists inputs whose last byte violates RFC 6455 or one of the default limits.
var hostile = []struct {
	name string
	sent string
	verdict
}{
	{"length 125 in 16 bits", "\x81\xfe\x00\x7d", noProtocol},
	{"length 0 in 16 bits", "\x81\xfe\x00\x00", noProtocol},
	{"length 2 in 64 bits", "\x81\xff\x00\x00\x00\x00\x00\x00\x00\x02", noProtocol},
	{"length 65535 in 64 bits", "\x81\xff\x00\x00\x00\x00\x00\x00\xff\xff", noProtocol},
	{"length 0 in 16 bits in a continuation", frame(firstPart, "{") + "\x80\xfe\x00\x00", noProtocol},
	{"length with the highest bit set", "\x81\xff\x80\x00\x00\x00\x00\x00\x00\x00", noProtocol},
	{"length with all bits set", "\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff", noProtocol},
	{"ping with a 16-bit length", "\x89\xfe", noProtocol},
	{"pong with a 64-bit length", "\x8a\xff", noProtocol},
	{"close with a 16-bit length", "\x88\xfe", noProtocol},
	{"unmasked", "\x81\x02", noProtocol},
	{"unmasked ping in a message", frame(firstPart, "{") + "\x89\x00", noProtocol},
	{"length 2^63-1", "\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff", tooBig},
	{"length 2^63-1 in a continuation", frame(firstPart, "{") + "\x80\xff\x7f\xff\xff\xff\xff\xff\xff\xff", tooBig},
	{"length 65537", "\x81\xff\x00\x00\x00\x00\x00\x01\x00\x01", tooBig},
	{"length 65537, binary", "\x82\xff\x00\x00\x00\x00\x00\x01\x00\x01", tooBig},
	{"65537 bytes in several frames", frame(firstPart, of(10)) + frame(continuation, "") + "\x80\xfe\xff\xf7", tooBig},
	{"65537 bytes in several frames with a pong", frame(firstPart, of(125)) + frame(tt.Fin|tt.PongFrame, of(125)) + "\x00\xfe\xff\x84", tooBig},
	{"1025 frames", frame(firstPart, "{") + strings.Repeat(frame(continuation, "a"), 1023) + "\x80", fragments},
	{"endless empty frames", frame(firstPart, "") + strings.Repeat(frame(continuation, ""), 1023) + "\x00", fragments},
	{"frames and pongs", frame(firstPart, "") + strings.Repeat(frame(continuation, ""), 1000) + frame(tt.Fin|tt.PongFrame, "") +
		strings.Repeat(frame(continuation, ""), 23) + "\x00", fragments},
}

// split splits b at the given positions.
func split(b []byte, places ...int) (chunks [][]byte) {
	from := 0
	for _, at := range append(places, len(b)) {
		if at > from {
			chunks = append(chunks, b[from:at])
			from = at
		}
	}
	return chunks
}

func bytewise(b []byte) (chunks [][]byte) {
	for i := range b {
		chunks = append(chunks, b[i:i+1])
	}
	return chunks
}

// limits contains the limits of a connection: MaxMessage and MaxFragments of websocket.Config, and burst,
// the number of messages, pings and pongs that the rate limiter allows at once.
type limits struct{ message, fragments, burst int }

var defaults = limits{websocket.DefaultMaxMessage, websocket.DefaultMaxFragments, websocket.DefaultMessageRate}

func (l limits) receive(chunks [][]byte) ([]byte, verdict) {
	cfg := &websocket.Config{MaxMessage: int64(l.message), MaxFragments: l.fragments}
	return websocket.Receive(cfg, rate.NewLimiter(0, l.burst), chunks)
}

// parseReference is a second, independent parser of frames. It receives the whole input at once, and
// returns the number of parsed bytes and the verdict.
func (l limits) parseReference(b []byte) (int, verdict) {
	message, frames, counted, under, isBinary := uint64(0), 0, 0, false, false
	for at := 0; at < len(b); {
		opcode, final := b[at]&0x0f, b[at]&0x80 != 0
		if b[at]&0x70 != 0 || opcode > 2 && opcode < 8 || opcode > 10 || opcode >= 8 && !final || opcode < 8 && under == (opcode != 0) {
			return at, noProtocol
		}
		switch {
		case opcode == 0:
			frames++
		case opcode < 8:
			message, frames, under, isBinary = 0, 1, true, opcode == 2
			counted++
		case opcode > 8:
			counted++
		}
		switch rest := b[at:]; {
		case opcode == 0 && frames > l.fragments:
			return at, fragments
		case counted > l.burst:
			return at, rateOver
		case len(rest) < 2:
			return len(b), fine
		case rest[1] < 128, opcode >= 8 && rest[1] > 128+125:
			return at + 1, noProtocol
		}
		length, header, least := uint64(b[at+1]-128), 2, uint64(0)
		if length >= 126 {
			header = map[uint64]int{126: 4, 127: 10}[length]
			if len(b) < at+header {
				return len(b), fine
			}
			var field [8]byte
			copy(field[8-(header-2):], b[at+2:at+header])
			least = map[int]uint64{4: 126, 10: 65536}[header]
			length = encoding.BigEndian.Uint64(field[:])
		}
		if length < least || length >= 1<<63 {
			return at + header - 1, noProtocol
		}
		if opcode < 8 {
			if message += length; message > uint64(l.message) {
				return at + header - 1, tooBig
			}
			if isBinary {
				return at + header - 1, verdict{"protocol", 1003}
			}
			under = !final
		}
		if at += header + 4 + int(length); at >= len(b) {
			return len(b), fine
		}
		if opcode == 8 {
			return at, fine // bytes after a close frame are not parsed
		}
	}
	return len(b), fine
}

type failer interface {
	require.TestingT
	Helper()
}

// requireAgreed requires that the frameReader and parseReference have the same result.
func requireAgreed(t failer, l limits, sent []byte, chunks [][]byte) verdict {
	t.Helper()
	n, want := l.parseReference(sent)
	passed, got := l.receive(chunks)
	require.Equal(t, want, got, "%x", sent)
	require.Equal(t, string(sent[:n]), string(passed), "exactly the input before the violation must be parsed")
	return got
}

func TestFraming(t *testing.T) {
	for _, tc := range hostile {
		sent := []byte(tc.sent)
		require.Equal(t, tc.verdict, requireAgreed(t, defaults, sent, bytewise(sent)), tc.name)
		require.Equal(t, fine, requireAgreed(t, defaults, sent[:len(sent)-1], [][]byte{sent[:len(sent)-1]}), tc.name)
		more := append(sent, frame(text, pingCommand)...)
		for at := max(0, len(sent)-20); at < len(more); at++ {
			require.Equal(t, tc.verdict, requireAgreed(t, defaults, more, split(more, at)), tc.name)
		}
	}
}

// small contains limits that random inputs often reach.
var small = limits{message: 300, fragments: 4, burst: 12}

var anyPayload = rapid.Map(rapid.OneOf(rapid.IntRange(0, 3), rapid.IntRange(120, 130), rapid.IntRange(290, 300)), of)

// validFrames returns the frames of random messages, with control frames between them, that do not exceed
// the limits of the variable small. whole contains the messages and control frames, in the format of
// websocket.Received.
func validFrames(t *rapid.T) (sent []byte, whole []string) {
	for left := small.burst; left > 0; left-- {
		control := func() {
			if left > 1 && rapid.Bool().Draw(t, "control") {
				left--
				opcode := rapid.SampledFrom([]byte{tt.PingFrame, tt.PongFrame}).Draw(t, "opcode")
				payload := of(rapid.IntRange(0, 125).Draw(t, "length"))
				sent = tt.AppendFrame(sent, tt.Fin|opcode, []byte(payload))
				whole = append(whole, string(opcode)+payload)
			}
		}
		control()
		message := string(rapid.SliceOfN(rapid.Byte(), 0, small.message).Draw(t, "message"))
		frames := rapid.IntRange(1, small.fragments).Draw(t, "frames")
		rest, first := message, byte(firstPart)
		for range frames - 1 {
			n := rapid.IntRange(0, len(rest)).Draw(t, "part")
			sent = tt.AppendFrame(sent, first, []byte(rest[:n]))
			rest, first = rest[n:], continuation
			control()
		}
		sent = tt.AppendFrame(sent, first|tt.Fin, []byte(rest))
		whole = append(whole, "\x01"+message)
	}
	return tt.AppendFrame(sent, closing, []byte("\x03\xe8")), append(whole, "\x08\x03\xe8")
}

// anyFrames returns random frames of every kind, valid and invalid, with every encoding of the payload
// length.
func anyFrames(t *rapid.T) (sent []byte) {
	for range rapid.IntRange(1, 20).Draw(t, "frames") {
		first := rapid.SampledFrom([]byte{0x0, 0x0, 0x0, 0x80, 0x80, 0x1, 0x1, 0x81, 0x81, 0x89, 0x8a, 0x82, 0xc1, 0x83, 0x88, 0x9, 0x8f, 0xf1}).Draw(t, "first")
		payload := anyPayload.Draw(t, "payload")
		masked := byte(0x80)
		if rapid.IntRange(0, 30).Draw(t, "masked") == 30 { // seldom, because rapid prefers small numbers
			masked = 0
		}
		switch rapid.IntRange(0, 20).Draw(t, "length encoding") {
		case 18:
			sent = encoding.BigEndian.AppendUint16(append(sent, first, masked|126), uint16(len(payload)))
		case 19:
			sent = encoding.BigEndian.AppendUint64(append(sent, first, masked|127), uint64(len(payload)))
		case 20:
			sent = encoding.BigEndian.AppendUint64(append(sent, first, masked|127), rapid.Uint64().Draw(t, "length"))
		default:
			whole := tt.AppendFrame(nil, first, []byte(payload))
			whole[1] &= 0x7f | masked
			sent = append(sent, whole...)
			continue
		}
		sent = append(append(sent, "mask"...), payload...)
	}
	return sent[:rapid.IntRange(0, len(sent)).Draw(t, "cut")]
}

func places(t *rapid.T, n int) []int {
	return rapid.SliceOfN(rapid.IntRange(0, n), 0, 10).Draw(t, "places")
}

// The result of parsing does not depend on how the input is split into chunks. If the input is invalid,
// exactly the part before the violation is parsed.
func TestFramingProperties(t *testing.T) {
	t.Run("valid", rapid.MakeCheck(func(t *rapid.T) {
		sent, whole := validFrames(t)
		cfg := &websocket.Config{MaxMessage: int64(small.message), MaxFragments: small.fragments}
		for _, chunks := range [][][]byte{bytewise(sent), split(sent, places(t, len(sent))...)} {
			require.Equal(t, fine, requireAgreed(t, small, sent, chunks))
			require.Equal(t, whole, websocket.Received(cfg, chunks))
		}
	}))
	t.Run("any", rapid.MakeCheck(func(t *rapid.T) {
		sent := anyFrames(t)
		requireAgreed(t, small, sent, bytewise(sent))
		requireAgreed(t, small, sent, split(sent, places(t, len(sent))...))
	}))
}

func FuzzFraming(f *testing.F) {
	for _, tc := range hostile {
		f.Add([]byte(tc.sent+frame(text, pingCommand)), uint16(3))
	}
	f.Fuzz(func(t *testing.T, sent []byte, at uint16) {
		for _, l := range []limits{defaults, small} {
			requireAgreed(t, l, sent, bytewise(sent))
			requireAgreed(t, l, sent, split(sent, min(int(at), len(sent))))
		}
	})
}

// A client may send pings and pongs at the allowed rate for any length of time.
func TestModeratePings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := &websocket.Config{MaxMessage: websocket.DefaultMaxMessage, MaxFragments: websocket.DefaultMaxFragments}
		limiter := rate.NewLimiter(websocket.DefaultMessageRate, websocket.DefaultMessageRate)
		burst := []byte(strings.Repeat(frame(ping, "a")+frame(tt.Fin|tt.PongFrame, ""), websocket.DefaultMessageRate/2))
		for range 60 {
			_, got := websocket.Receive(cfg, limiter, [][]byte{burst})
			require.Equal(t, fine, got)
			time.Sleep(time.Second)
		}
		_, got := websocket.Receive(cfg, limiter, [][]byte{burst, []byte(frame(ping, ""))})
		require.Equal(t, rateOver, got)
	})
}

// Parsing a message allocates nothing except the message's buffer.
func TestFramingAllocatesNothing(t *testing.T) {
	require.Zero(t, websocket.FramingAllocs([]byte(frame(continuation, of(200))+frame(continuation, of(200)))))
}
