package connection

import (
	"errors"
	"net/http"
	"os"
	"time"
)

// responseConn is the Conn of a response that cannot be hijacked: HTTP/2. The handler stays until
// the outlet is closed.
type responseConn struct {
	w          http.ResponseWriter
	controller *http.ResponseController
	ended      bool
}

// NewResponseConn makes a Conn of a response whose header is set. The handler must not write any
// more, close the outlet when the request's context ends, and return after Outlet.Wait.
func NewResponseConn(w http.ResponseWriter) Conn {
	return &responseConn{w: w, controller: http.NewResponseController(w)}
}

func (c *responseConn) TryWrite([]byte) (int, error) { return 0, nil }

// responseChunk bounds one write, so that progress within a large one is seen: who takes as much
// in a write timeout is not stuck.
const responseChunk = 4 << 10

func (c *responseConn) Write(p []byte, timeout time.Duration) error {
	for len(p) > 0 {
		if err := c.controller.SetWriteDeadline(time.Now().Add(timeout)); err != nil {
			return err
		}
		n, err := c.w.Write(p[:min(len(p), responseChunk)])
		if err == nil {
			err = c.controller.Flush()
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return ErrNoProgress
		}
		if err != nil {
			return err
		}
		p = p[n:]
	}
	return c.controller.SetWriteDeadline(time.Time{})
}

func (c *responseConn) PeerClosed() bool { return false }

func (c *responseConn) End() bool {
	c.ended = true
	return true
}

// Close frees a write that waits. The handler ends the response when it returns; where all was
// said, that end is an orderly one.
func (c *responseConn) Close() {
	if !c.ended {
		_ = c.controller.SetWriteDeadline(time.Now())
	}
}
