package bench

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// memoryConn is the in-memory connection of a subscriber. Its writes never block. It counts the messages
// and computes a checksum of the events. The hub never calls its write methods concurrently.
type memoryConn struct {
	run  *memoryRun
	kept []byte // bytes of all events, on the first connection of each group; nil: events are not kept

	left    uint32 // bytes of the current chunk that were not written yet
	events  uint32
	sum     uint32 // checksum of all events, in order
	faults  uint16
	state   memoryState
	inEvent bool // the current chunk is an event
}

// memoryState is the state of the stream of a memoryConn.
type memoryState uint8

const (
	memoryNew     memoryState = iota
	memoryOpen                // the opening message was written
	memoryGoaway              // the stream was ended by the message trivium.goaway
	memoryRefused             // the stream was ended by the message trivium.error
)

// memoryRun holds the counters that all memoryConns of a run share.
type memoryRun struct {
	heartbeats atomic.Int64
	closed     atomic.Int64 // connections that the hub has closed
	waiting    atomic.Pointer[deliveries]
}

// deliveries counts down the deliveries of the most recently published events.
type deliveries struct {
	left atomic.Int64
	done chan struct{} // closed when left is 0
}

// expect returns a counter of the next n deliveries of the run. It must be called before the events are
// published.
func (r *memoryRun) expect(n int) *deliveries {
	d := &deliveries{done: make(chan struct{})}
	d.left.Store(int64(n))
	r.waiting.Store(d)
	return d
}

// count records one delivery.
func (d *deliveries) count() {
	if d.left.Add(-1) == 0 {
		close(d.done)
	}
}

// wait blocks until all deliveries were counted, but no longer than patience. It reports whether all
// were counted.
func (d *deliveries) wait() bool {
	select {
	case <-d.done:
		return true
	case <-time.After(patience):
		return false
	}
}

// TryWrite accepts all of p.
func (c *memoryConn) TryWrite(p []byte) (int, error) {
	c.observe(p)
	return len(p), nil
}

// Write accepts all of p.
func (c *memoryConn) Write(p []byte) (int, error) { return c.TryWrite(p) }

// observe decodes chunks. Each chunk contains one message. A chunk may be split between two writes, but its header is
// never split.
func (c *memoryConn) observe(p []byte) {
	for len(p) > 0 {
		if c.left == 0 {
			if p = c.beginChunk(p); p == nil {
				c.faults++
				return
			}
		}
		n := min(int(c.left), len(p))
		if c.inEvent {
			c.addEvent(p[:n])
		}
		if c.left -= uint32(n); c.left == 0 && c.inEvent {
			c.events++
			c.run.waiting.Load().count()
		}
		p = p[n:]
	}
}

func (c *memoryConn) addEvent(p []byte) {
	c.sum = crc32.Update(c.sum, castagnoli, p)
	if c.kept != nil {
		c.kept = append(c.kept, p...)
	}
}

// beginChunk decodes the header of a chunk and returns the bytes after it, or nil if it is malformed.
func (c *memoryConn) beginChunk(p []byte) []byte {
	size := uint32(0)
	for i, b := range p[:min(len(p), 10)] {
		switch {
		case b >= '0' && b <= '9':
			size = size<<4 | uint32(b-'0')
		case b >= 'a' && b <= 'f':
			size = size<<4 | uint32(b-'a'+10)
		case b == '\r' && i > 0 && len(p) > i+2:
			block := p[i+2:]
			c.left = size + 2 // with CR and LF
			c.inEvent = bytes.HasPrefix(block, []byte("id: "))
			if !c.inEvent && size > 0 {
				c.control(block)
			} else if c.inEvent && c.state != memoryOpen {
				c.faults++
			}
			return block
		default:
			return nil
		}
	}
	return nil
}

// control handles a control message, which the hub writes in a single write.
func (c *memoryConn) control(block []byte) {
	if after, found := bytes.CutPrefix(block, []byte("retry: ")); found {
		_, block, _ = bytes.Cut(after, []byte("\n"))
	}
	name, _, _ := bytes.Cut(block, []byte("\n"))
	from := memoryOpen
	switch string(name) {
	case "event: trivium.open":
		from = memoryNew
	case "event: trivium.heartbeat", "event: trivium.goaway", "event: trivium.error":
	default:
		c.faults++
		return
	}
	if c.state != from {
		c.faults++
	}
	switch string(name) {
	case "event: trivium.open":
		c.state = memoryOpen
	case "event: trivium.heartbeat":
		c.run.heartbeats.Add(1)
	case "event: trivium.goaway":
		c.state = memoryGoaway
	case "event: trivium.error":
		c.state = memoryRefused
	}
}

// check compares the events of the connection with the events of other, and adds the differences to t.
// Both connections must have received the same n events. The caller checks other with checkKept.
func (c *memoryConn) check(other *memoryConn, n uint32, t *Tally) {
	switch {
	case c.events < n:
		t.Lost += int64(n - c.events)
	case c.events > n:
		t.Duplicated += int64(c.events - n)
	case c.sum != other.sum:
		t.Changed++
	}
	t.Changed += int64(c.faults)
}

// checkKept checks the numbers and checksums of the kept events, and adds the errors to t. heads maps each stream that
// the connection receives to the number of its published events.
func (c *memoryConn) checkKept(heads map[uint32]uint32, t *Tally) {
	checks := map[uint32]*checker{}
	for stream := range heads {
		checks[stream] = &checker{}
	}
	blocks := bytes.ReplaceAll(c.kept, []byte("\n\n\r\n"), []byte("\n\n")) // removes the CR and LF at the end of each chunk
	new(sseDecoder).blocks(blocks, func(m message) {
		s, ok := parseStamp(m.data)
		check := checks[s.stream]
		if !ok || check == nil {
			t.Changed++
			return
		}
		check.account(s.seq, t)
	})
	for stream, check := range checks {
		check.accountMissing(heads[stream], t)
	}
}

// Close adds one to the number of closed connections.
func (c *memoryConn) Close() error {
	c.run.closed.Add(1)
	return nil
}

// These methods complete net.Conn. Nothing is read from a memoryConn.

func (c *memoryConn) Read([]byte) (int, error)         { return 0, errors.ErrUnsupported }
func (c *memoryConn) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (c *memoryConn) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (c *memoryConn) SetDeadline(time.Time) error      { return nil }
func (c *memoryConn) SetReadDeadline(time.Time) error  { return nil }
func (c *memoryConn) SetWriteDeadline(time.Time) error { return nil }

// memoryResponse is the http.ResponseWriter of a request that subscribes. Hijack returns its memoryConn.
type memoryResponse struct {
	conn     *memoryConn
	header   http.Header
	status   int
	text     []byte
	hijacked bool
}

func (w *memoryResponse) Header() http.Header { return w.header }

func (w *memoryResponse) WriteHeader(status int) { w.status = status }

func (w *memoryResponse) Write(p []byte) (int, error) {
	w.text = append(w.text, p...)
	return len(p), nil
}

// Flush implements http.Flusher.
func (w *memoryResponse) Flush() {}

// Hijack implements http.Hijacker.
func (w *memoryResponse) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	w.hijacked = true
	return w.conn, nil, nil
}

// err returns an error if the request was refused.
func (w *memoryResponse) err() error {
	if w.hijacked {
		return nil
	}
	return fmt.Errorf("refused with status %d: %s", w.status, w.text)
}
