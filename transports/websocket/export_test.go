package websocket

import (
	"bytes"
	"testing"

	"golang.org/x/time/rate"
)

// MaxUnread and CloseTimeout bound what is still read of a connection that was refused.
const (
	MaxUnread    = maxUnread
	CloseTimeout = closeTimeout
)

// Verdict is why a connection was refused; the zero Verdict: it was not.
type Verdict struct {
	Reason string
	Code   int
}

// Receive takes chunks, and gives what was taken of them.
func Receive(limits *Config, limiter *rate.Limiter, chunks [][]byte) ([]byte, Verdict) {
	f := frames{limits: limits, limiter: limiter, deflate: limits.Compression}
	var taken []byte
	for _, chunk := range chunks {
		n, v := f.take(chunk, new(record))
		taken = append(taken, chunk[:n]...)
		if v != nil {
			return taken, Verdict{reasonNames[v.reason], v.code}
		}
	}
	return taken, Verdict{}
}

// Received gives the messages and control frames of chunks, each as its opcode and its payload.
func Received(limits *Config, chunks [][]byte) []string {
	f := frames{limits: limits, limiter: rate.NewLimiter(rate.Inf, 1), deflate: limits.Compression}
	r := new(record)
	for _, chunk := range chunks {
		f.take(chunk, r)
	}
	return r.whole
}

// FramingAllocs is how many allocations it costs to take frames of a message, beside its buffer.
func FramingAllocs(p []byte) float64 {
	f := frames{
		limits:  &Config{MaxMessage: DefaultMaxMessage, MaxFragments: DefaultMaxFragments},
		limiter: rate.NewLimiter(rate.Inf, 1),
	}
	buffer := bytes.NewBuffer(make([]byte, 0, 2*len(p)))
	return testing.AllocsPerRun(100, func() {
		buffer.Reset()
		f.payload, f.kind, f.count = buffer, opcodeText, 1
		f.take(p, nil)
	})
}

// record is a receiver that keeps all.
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

// Crowd has as many farewells under way as may be.
func (h *Handler) Crowd() { h.farewells.n.Store(maxFarewells) }
