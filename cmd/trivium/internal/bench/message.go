package bench

import (
	"bytes"
	"errors"
	"fmt"
)

// kind is the kind of a received message.
type kind uint8

const (
	kindOpen   kind = iota // the subscription is confirmed; id is its position
	kindEvent              // an event with its id (not on long-poll) and data
	kindAnswer             // an answer to a poll is complete; id is its cursor
	kindGap                // events were lost
	kindEnd                // the hub ends the subscription; data is the reason
	kindReply              // data must be sent to the hub, for example an acknowledgement of HTTP/2
	kindPing               // a WebSocket ping; its data must be sent back
)

// message is one received message. A decoder passes it to the function emit; its bytes are valid until emit returns.
type message struct {
	kind     kind
	id, data []byte
}

// decoder decodes the bytes that a connection receives. Each call of feed passes the next bytes, which may end at any
// position in a message.
type decoder interface {
	feed(p []byte, emit func(message)) error
}

// newDecoder returns the decoder of a transport.
func newDecoder(transport string) decoder {
	switch transport {
	case WebSocket:
		return &socketDecoder{}
	case LongPoll:
		return &pollDecoder{}
	case HTTP2:
		return &http2Decoder{}
	default:
		return &sseDecoder{}
	}
}

// maxHead is the maximum length of the header of an answer, in bytes.
const maxHead = 16 << 10

var errHead = errors.New("the answer's header is too long")

// head collects the header of an HTTP answer.
type head struct {
	buf     []byte
	status  int
	length  int // Content-Length; -1: none
	chunked bool
}

// feed adds bytes to the header. When the header is complete, feed returns the bytes after it, or an error if the status
// in the header is not the expected status.
func (h *head) feed(p []byte, status int) (rest []byte, done bool, err error) {
	before := len(h.buf)
	h.buf = append(h.buf, p...)
	end := bytes.Index(h.buf, []byte("\r\n\r\n"))
	switch {
	case end < 0 && len(h.buf) > maxHead:
		return nil, false, errHead
	case end < 0:
		return nil, false, nil
	}
	rest = p[end+4-before:]
	if err = h.parse(h.buf[:end]); err == nil && h.status != status {
		err = refused(h.status)
	}
	h.buf = h.buf[:0]
	return rest, true, err
}

func (h *head) parse(text []byte) error {
	lines := bytes.Split(text, []byte("\r\n"))
	h.length, h.chunked = -1, false
	if _, err := fmt.Sscanf(string(lines[0]), "HTTP/1.1 %d", &h.status); err != nil {
		return fmt.Errorf("want an HTTP/1.1 status line, got %q", lines[0])
	}
	for _, line := range lines[1:] {
		name, value, _ := bytes.Cut(line, []byte(": "))
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			if _, err := fmt.Sscanf(string(value), "%d", &h.length); err != nil || h.length < 0 {
				return fmt.Errorf("invalid Content-Length: %q", line)
			}
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			h.chunked = bytes.EqualFold(value, []byte("chunked"))
		}
	}
	return nil
}

// refused returns the error for an unexpected HTTP status.
func refused(status int) error { return fmt.Errorf("refused with status %d", status) }

// dechunker removes the chunked transfer coding (RFC 9112, section 7.1).
type dechunker struct {
	state chunkState
	left  int // bytes of the current chunk that have not arrived
}

type chunkState uint8

const (
	chunkSize chunkState = iota
	chunkExtension
	chunkData
	chunkEnd // CR and LF after the data
	chunkTrailer
	chunkDone // the LF after the last chunk's trailer
)

var errChunk = errors.New("malformed chunk")

// next returns the next piece of content in p and the bytes after it. If p contains no more content,
// the returned content is empty, and ended reports whether the body has ended.
func (d *dechunker) next(p []byte) (content, rest []byte, ended bool, err error) {
	for len(p) > 0 {
		c := p[0]
		switch d.state {
		case chunkData:
			n := min(d.left, len(p))
			if d.left -= n; d.left == 0 {
				d.state = chunkEnd
			}
			return p[:n], p[n:], false, nil
		case chunkSize, chunkExtension:
			if err := d.header(c); err != nil {
				return nil, nil, false, err
			}
		case chunkEnd:
			if c == '\n' {
				d.state = chunkSize
			} else if c != '\r' {
				return nil, nil, false, errChunk
			}
		case chunkTrailer:
			if c != '\r' {
				return nil, nil, false, errChunk
			}
			d.state = chunkDone
		case chunkDone:
			d.state = chunkSize
			return nil, p[1:], true, nil
		}
		p = p[1:]
	}
	return nil, nil, false, nil
}

// header decodes one byte of a chunk's first line, which contains the size of the chunk.
func (d *dechunker) header(c byte) error {
	switch {
	case c == '\n' && d.left == 0:
		d.state = chunkTrailer
	case c == '\n':
		d.state = chunkData
	case c == '\r', c == ';', d.state == chunkExtension:
		d.state = chunkExtension
	case c >= '0' && c <= '9':
		d.left = d.left<<4 | int(c-'0')
	case c >= 'a' && c <= 'f':
		d.left = d.left<<4 | int(c-'a'+10)
	case c >= 'A' && c <= 'F':
		d.left = d.left<<4 | int(c-'A'+10)
	default:
		return errChunk
	}
	if d.left > 1<<30 {
		return errChunk
	}
	return nil
}
