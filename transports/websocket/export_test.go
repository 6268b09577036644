package websocket

import (
	"errors"
	"io"
	"net"
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

// Receive reads chunks as the library does, past the guard, and gives what passed.
func Receive(limits *Config, limiter *rate.Limiter, chunks [][]byte) ([]byte, Verdict) {
	s := &stream{Conn: &chunked{chunks: chunks}, guard: guard{limits: limits, limiter: limiter}}
	var passed []byte
	buffer := make([]byte, readBuffer)
	for {
		n, err := s.Read(buffer)
		passed = append(passed, buffer[:n]...)
		if v, ok := errors.AsType[*violation](err); ok {
			n, _ = s.Read(buffer) // it comes to nothing
			passed = append(passed, buffer[:n]...)
			return passed, Verdict{reasonNames[v.reason], v.code}
		}
		if err != nil {
			return passed, Verdict{}
		}
	}
}

// GuardAllocs is how many allocations a look at p costs.
func GuardAllocs(p []byte) float64 {
	g := guard{
		limits:  &Config{MaxMessage: DefaultMaxMessage, MaxFragments: DefaultMaxFragments},
		limiter: rate.NewLimiter(rate.Inf, 1),
	}
	return testing.AllocsPerRun(100, func() { g.pass(p) })
}

// chunked is a connection that gives what was sent in these pieces.
type chunked struct {
	net.Conn
	chunks [][]byte
}

func (c *chunked) Read(p []byte) (int, error) {
	if len(c.chunks) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.chunks[0])
	if c.chunks[0] = c.chunks[0][n:]; len(c.chunks[0]) == 0 {
		c.chunks = c.chunks[1:]
	}
	return n, nil
}
