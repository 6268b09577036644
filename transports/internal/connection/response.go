package connection

import (
	"errors"
	"net/http"
	"os"
	"time"
)

// responseConn is the Conn of an HTTP response whose connection cannot be hijacked, for example with
// HTTP/2. The handler must not return before the Writer is closed.
type responseConn struct {
	w          http.ResponseWriter
	controller *http.ResponseController
	ended      bool
}

// NewResponseConn returns the Conn of a response whose header has been written. The handler must no
// longer write to w, must close the Writer when the request's context ends, and must return only after
// Writer.Wait.
func NewResponseConn(w http.ResponseWriter) Conn {
	return &responseConn{w: w, controller: http.NewResponseController(w)}
}

func (c *responseConn) TryWrite([]byte) (int, error) { return 0, nil }

func (c *responseConn) Buffered() bool { return false }

// responseChunk is the maximum size of one write, in bytes. It is small, so that progress within a
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

// Close interrupts a blocked write, unless the stream is complete. The response itself ends when the
// handler returns.
func (c *responseConn) Close() {
	if !c.ended {
		_ = c.controller.SetWriteDeadline(time.Now())
	}
}
