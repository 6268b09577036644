package websocket

import (
	"bytes"
	"testing"

	"golang.org/x/time/rate"
)

// After the end of a stream, the hub reads at most MaxUnread bytes from the connection, for at most
// CloseTimeout.
const (
	MaxUnread    = maxUnread
	CloseTimeout = closeTimeout
)

// Verdict is the result of parsing input: the reason and the close code of a violation. The zero Verdict
// means that there was no violation.
type Verdict struct {
	Reason string
	Code   int
}

// Receive passes chunks to a frameReader, until one contains a violation. It returns the parsed bytes and
// the Verdict.
func Receive(limits *Config, limiter *rate.Limiter, chunks [][]byte) ([]byte, Verdict) {
	f := frameReader{limits: limits, limiter: limiter, deflate: limits.Compression}
	var taken []byte
	for _, chunk := range chunks {
		n, v := f.feed(chunk, new(record))
		taken = append(taken, chunk[:n]...)
		if v != nil {
			return taken, Verdict{reasonNames[v.reason], v.code}
		}
	}
	return taken, Verdict{}
}

// Received returns the messages and control frames in the chunks. Each is a string that consists of the
// opcode and the payload.
func Received(limits *Config, chunks [][]byte) []string {
	f := frameReader{limits: limits, limiter: rate.NewLimiter(rate.Inf, 1), deflate: limits.Compression}
	r := new(record)
	for _, chunk := range chunks {
		f.feed(chunk, r)
	}
	return r.whole
}

// FramingAllocs returns the number of allocations for parsing p, which contains frames of one message.
// It does not count the allocation of the message's buffer.
func FramingAllocs(p []byte) float64 {
	f := frameReader{
		limits:  &Config{MaxMessage: DefaultMaxMessage, MaxFragments: DefaultMaxFragments},
		limiter: rate.NewLimiter(rate.Inf, 1),
	}
	buffer := bytes.NewBuffer(make([]byte, 0, 2*len(p)))
	return testing.AllocsPerRun(100, func() {
		buffer.Reset()
		f.payload, f.messageHeader, f.frameCount = buffer, opcodeText, 1
		f.feed(p, nil)
	})
}

// record is a receiver that collects all messages and control frames.
type record struct{ whole []string }

func (r *record) reserve(int) *violation { return nil }

func (r *record) message(text []byte) *violation {
	r.whole = append(r.whole, "\x01"+string(text))
	return nil
}

func (r *record) control(opcode byte, payload []byte) *violation {
	r.whole = append(r.whole, string(opcode)+string(payload))
	return nil
}

// FillRejected makes the limit for rejected connections appear reached.
func (h *Handler) FillRejected() { h.rejected.n.Store(maxRejected) }
