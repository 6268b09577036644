package wire

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// DefaultMaxSSEEvent is the default limit of an SSEDecoder for the size of a line and of one event's
// data. It exceeds the size of the largest envelope from a hub with default limits: 1 MiB of data, in
// which each byte may be escaped as six bytes.
const DefaultMaxSSEEvent = 8 << 20 // bytes

// ErrSSETooLong is the error of an SSEDecoder if a line or an event's data exceeds the limit.
var ErrSSETooLong = errors.New("event stream: a line or an event is too long")

// SSEEvent is one event of an event stream.
type SSEEvent struct {
	ID    string // the last event ID: that of this event or, if it has no id field, of an earlier block
	Type  string // empty if the event has no name; browsers then use "message"
	Topic string // a field that only Trivium uses; empty if absent
	Data  string // the lines of the data, with LF between them
}

// SSEDecoder decodes an event stream as section 9.2.6 of the WHATWG HTML standard, "Interpreting an event
// stream", requires. It also decodes the additional field topic, which it resets after each event.
type SSEDecoder struct {
	r     *bufio.Reader
	limit int // bytes

	line       []byte // buffer, which is reused
	bomChecked bool   // whether the first line, which may start with a byte order mark, has been read
	skipLF     bool   // whether the last line ended with a CR, so that an LF after it belongs to the same line end
	err        error  // error that all further calls return

	data, event, topic, id []byte // the buffers that the standard defines, and topic
	lastID                 string
	retry                  time.Duration
	hasRetry               bool
}

// NewSSEDecoder returns a decoder that reads from r. A line, and the data of an event, may have at most
// limit bytes; 0 means DefaultMaxSSEEvent.
func NewSSEDecoder(r io.Reader, limit int) *SSEDecoder {
	if limit == 0 {
		limit = DefaultMaxSSEEvent
	}
	return &SSEDecoder{r: bufio.NewReader(r), limit: limit}
}

// Next returns the next event as soon as its last byte has been read. It skips blocks without data, but
// records their id. At the end of the stream, it drops an incomplete event and returns io.EOF. Other
// errors are from the reader, or wrap ErrSSETooLong. After an error, further calls return the same error.
func (d *SSEDecoder) Next() (SSEEvent, error) {
	for {
		line, err := d.readLine()
		switch {
		case err != nil:
			return SSEEvent{}, err
		case len(line) > 0:
			if err := d.field(line); err != nil {
				return SSEEvent{}, err
			}
		default:
			if e, ok := d.dispatch(); ok {
				return e, nil
			}
		}
	}
}

// LastEventID returns the last event ID (see SSEEvent) at the end of the newest complete block, even if
// that block has no data.
func (d *SSEDecoder) LastEventID() string { return d.lastID }

// Retry returns the reconnection time that the stream has set. ok is false if the stream has set no
// reconnection time. A time that overflows a Duration is reduced to the maximum.
func (d *SSEDecoder) Retry() (retry time.Duration, ok bool) { return d.retry, d.hasRetry }

// readLine returns the next line without its line end. The line is valid until the next call. After a
// CR, readLine does not wait for an LF.
func (d *SSEDecoder) readLine() ([]byte, error) {
	d.line = d.line[:0]
	for d.err == nil {
		if _, d.err = d.r.Peek(1); d.err != nil {
			break
		}
		buffered, _ := d.r.Peek(d.r.Buffered())
		if d.skipLF {
			d.skipLF = false
			if buffered[0] == '\n' {
				_, _ = d.r.Discard(1)
				continue
			}
		}
		end := bytes.IndexAny(buffered, "\r\n")
		part := buffered
		if end >= 0 {
			part = buffered[:end]
		}
		if len(d.line)+len(part) > d.limit {
			return nil, d.tooLong()
		}
		d.line = append(d.line, part...)
		if end < 0 {
			_, _ = d.r.Discard(len(part))
			continue
		}
		d.skipLF = buffered[end] == '\r'
		_, _ = d.r.Discard(end + 1)
		return d.trimBOM(d.line), nil
	}
	return nil, d.err
}

func (d *SSEDecoder) tooLong() error {
	d.err = fmt.Errorf("%w: more than %d bytes", ErrSSETooLong, d.limit)
	return d.err
}

func (d *SSEDecoder) trimBOM(line []byte) []byte {
	if d.bomChecked {
		return line
	}
	d.bomChecked = true
	return bytes.TrimPrefix(line, []byte("\ufeff"))
}

// field processes a line that is not empty. It treats a comment as a field with an empty name, which it
// ignores.
func (d *SSEDecoder) field(line []byte) error {
	name, value, _ := bytes.Cut(line, []byte(":"))
	value = bytes.TrimPrefix(value, []byte(" "))
	switch string(name) {
	case "event":
		d.event = append(d.event[:0], value...)
	case "topic":
		d.topic = append(d.topic[:0], value...)
	case "data":
		if len(d.data)+len(value) > d.limit {
			return d.tooLong()
		}
		d.data = append(append(d.data, value...), '\n')
	case "id":
		if bytes.IndexByte(value, 0) < 0 {
			d.id = append(d.id[:0], value...)
		}
	case "retry":
		d.setRetry(value)
	}
	return nil
}

func (d *SSEDecoder) setRetry(value []byte) {
	for _, c := range value {
		if c < '0' || c > '9' {
			return
		}
	}
	if len(value) == 0 {
		return
	}
	const most = math.MaxInt64 / int64(time.Millisecond)
	n, err := strconv.ParseInt(string(value), 10, 64)
	if err != nil || n > most { // value contains only digits, so ParseInt fails only if the number is too large
		n = most
	}
	d.retry, d.hasRetry = time.Duration(n)*time.Millisecond, true
}

// dispatch returns the event of a complete block and resets the buffers. ok is false if the block has no
// data.
func (d *SSEDecoder) dispatch() (e SSEEvent, ok bool) {
	if string(d.id) != d.lastID {
		d.lastID = decodeUTF8(d.id)
	}
	if len(d.data) > 0 {
		e = SSEEvent{
			ID:    d.lastID,
			Type:  decodeUTF8(d.event),
			Topic: decodeUTF8(d.topic),
			Data:  decodeUTF8(d.data[:len(d.data)-1]),
		}
		ok = true
	}
	d.data, d.event, d.topic = d.data[:0], d.event[:0], d.topic[:0]
	return e, ok
}

// decodeUTF8 implements "UTF-8 decode" of the WHATWG Encoding standard. It replaces all bytes of a
// truncated sequence together by one U+FFFD, whereas Go replaces each byte. The decoder may split the
// stream into lines and fields before it decodes UTF-8, because the bytes LF, CR and colon are never part
// of a multi-byte sequence.
func decodeUTF8(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	var s strings.Builder
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n == 1 {
			for n < len(b) && !utf8.FullRune(b[:n+1]) { // b[:n+1] is still the beginning of a valid sequence
				n++
			}
		}
		s.WriteRune(r)
		b = b[n:]
	}
	return s.String()
}
