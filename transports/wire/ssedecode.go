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

// DefaultMaxSSEEvent bounds what an SSEDecoder keeps of one line and of one event's data. The
// largest envelope of the hub's default limit is below it: 1 MiB of data, each byte escaped in six.
const DefaultMaxSSEEvent = 8 << 20 // bytes

// ErrSSETooLong is returned for a line or an event's data over the decoder's limit.
var ErrSSETooLong = errors.New("event stream: a line or an event is too long")

// SSEEvent is one event of an event stream.
type SSEEvent struct {
	ID    string // the last event id, which an event without an id field inherits
	Type  string // empty if the event has no name; a browser calls it "message"
	Topic string // the field of ours, empty if there is none
	Data  string // lines joined by LF
}

// SSEDecoder reads an event stream as the WHATWG HTML standard says in section 9.2.6,
// "Interpreting an event stream", with one field more, topic, which is reset with each event.
type SSEDecoder struct {
	r     *bufio.Reader
	limit int // bytes

	line   []byte // kept for its memory
	begun  bool   // the first line is past, and with it the place of a byte order mark
	skipLF bool   // the last line ended with a CR, of which an LF that follows is part
	err    error  // what ended the stream; repeated

	data, event, topic, id []byte // the buffers of the standard
	lastID                 string
	retry                  time.Duration
	hasRetry               bool
}

// NewSSEDecoder makes a decoder that reads from r and keeps at most limit bytes of a line and of
// an event's data; 0 is DefaultMaxSSEEvent.
func NewSSEDecoder(r io.Reader, limit int) *SSEDecoder {
	if limit == 0 {
		limit = DefaultMaxSSEEvent
	}
	return &SSEDecoder{r: bufio.NewReader(r), limit: limit}
}

// Next gives the next event, as soon as its last byte has been read. Events without data are not
// given, though their id counts. At the end of the stream, where an event that is not complete is
// dropped, the error is io.EOF; else it is the reader's own, or wraps ErrSSETooLong. No event
// follows an error.
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

// LastEventID is the id of the last block that ended, be it an event that Next gave or one without
// data.
func (d *SSEDecoder) LastEventID() string { return d.lastID }

// Retry is the reconnection time that the stream has set; ok is false if it has set none. The
// longest that a Duration holds stands for those that are longer.
func (d *SSEDecoder) Retry() (retry time.Duration, ok bool) { return d.retry, d.hasRetry }

// readLine gives the next line without its end, good until the next call. It does not wait for
// what follows a CR.
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
	if d.begun {
		return line
	}
	d.begun = true
	return bytes.TrimPrefix(line, []byte("\ufeff"))
}

// field processes one line that is not empty. A comment is a field without a name.
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
	if err != nil || n > most { // digits alone fail only by their number
		n = most
	}
	d.retry, d.hasRetry = time.Duration(n)*time.Millisecond, true
}

// dispatch ends a block; ok is false if there was no data in it.
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

// decodeUTF8 is "UTF-8 decode" of the WHATWG Encoding standard: a U+FFFD for each longest piece
// that begins a character and does not end it, where Go has one for each of its bytes. Lines and
// fields can be decoded after they are cut, since no part of a character is an LF, CR or colon.
func decodeUTF8(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	var s strings.Builder
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n == 1 {
			for n < len(b) && !utf8.FullRune(b[:n+1]) { // not full: valid so far
				n++
			}
		}
		s.WriteRune(r)
		b = b[n:]
	}
	return s.String()
}
