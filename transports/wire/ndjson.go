package wire

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"github.com/trivium-hub/trivium/hub"
)

// LineReader reads a stream of lines, as of newline-delimited JSON, in memory of one line at
// most. It reads no further ahead than its buffer, so a line is there as soon as it was sent.
type LineReader struct {
	r      *bufio.Reader
	max    int
	resize func(size int) error // reserves the memory of line; nil: it is not counted
	line   []byte               // a line longer than r's buffer is put together here
	number int
	err    error
}

// NewLineReader reads from r lines of at most maxLine bytes, the \n not counted.
func NewLineReader(r io.Reader, maxLine int) *LineReader {
	return &LineReader{r: bufio.NewReader(r), max: maxLine}
}

// Reserve has resize called with the size of the memory that a long line is about to take, and with 0
// when the line is done. Its error refuses the line. It must be called before Next.
func (l *LineReader) Reserve(resize func(size int) error) { l.resize = resize }

// Next gives the next line that is not blank, without white space around it, and its number from
// 1, in which blank lines count. The slice is valid until the next call. A last line needs no \n.
//
// At the end the error is io.EOF. A line over the limit is an *hub.InvalidError for "data" that is
// TooLarge, any other error is the reader's or that of Reserve's function; the number is then that of the line it stopped in.
// An error stays.
func (l *LineReader) Next() (line []byte, number int, err error) {
	for l.err == nil {
		l.number++
		line, err := l.read()
		if err != nil {
			l.err = err
		}
		if errors.Is(err, io.EOF) && len(line) == 0 {
			l.number-- // no line follows the last \n
		}
		if err != nil && !errors.Is(err, io.EOF) {
			break
		}
		if line = trimJSON(line); len(line) > 0 {
			return line, l.number, nil
		}
	}
	return nil, l.number, l.err
}

// read gives one line without its \n, and with it io.EOF where it ended without one.
func (l *LineReader) read() ([]byte, error) {
	l.free()
	for {
		part, err := l.r.ReadSlice('\n')
		if err == nil {
			part = part[:len(part)-1]
		}
		if len(l.line)+len(part) > l.max {
			return nil, &hub.InvalidError{
				Parameter: "data",
				Detail:    fmt.Sprintf("a line has at most %d bytes, this one has more", l.max),
				TooLarge:  true,
			}
		}
		if len(l.line) == 0 && !errors.Is(err, bufio.ErrBufferFull) {
			return part, err
		}
		if err := l.grow(len(part)); err != nil {
			return nil, err
		}
		l.line = append(l.line, part...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return l.line, err
		}
	}
}

// keptLine is how much memory of a line is kept for the next.
const keptLine = 64 << 10 // bytes

// free empties the line, and gives up memory that was for a long one.
func (l *LineReader) free() {
	l.line = l.line[:0]
	if cap(l.line) > keptLine {
		l.line = nil
		if l.resize != nil {
			_ = l.resize(0) // to give back is never refused
		}
	}
}

// grow makes room for n more bytes of the line.
func (l *LineReader) grow(n int) error {
	if need := len(l.line) + n; need > cap(l.line) {
		size := max(need, min(2*cap(l.line), l.max))
		if l.resize != nil {
			if err := l.resize(size); err != nil {
				return err
			}
		}
		l.line = append(make([]byte, 0, size), l.line...)
	}
	return nil
}
