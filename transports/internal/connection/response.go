package connection

import (
	"errors"
	"net/http"
	"os"
	"time"
)

// responseConn is the Conn of a response that cannot be hijacked, as in HTTP/2. The handler must
// not return before the Writer is closed.
type responseConn struct {
	w          http.ResponseWriter
	controller *http.ResponseController
	ended      bool
}

// NewResponseConn returns the Conn of a response whose header has been written. The handler must
// write nothing more, close the Writer when the request's context ends, and return after
// Writer.Wait.
func NewResponseConn(w http.ResponseWriter) Conn {
	return &responseConn{w: w, controller: http.NewResponseController(w)}
}

func (c *responseConn) TryWrite([]byte) (int, error) { return 0, nil }

func (c *responseConn) Buffered() bool { return false }

// responseChunk is the maximum number of bytes of one write. It is small, so that progress within a
// large message is detected: a peer that accepts 4 KiB within the write timeout is not stalled.
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

// Close interrupts a blocked write. The handler ends the response by returning. If the stream was
// complete, the response then ends without an error.
func (c *responseConn) Close() {
	if !c.ended {
		_ = c.controller.SetWriteDeadline(time.Now())
	}
}
