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
	line   []byte // a line longer than r's buffer is put together here
	number int
	err    error
}

// NewLineReader reads from r lines of at most maxLine bytes, the \n not counted.
func NewLineReader(r io.Reader, maxLine int) *LineReader {
	return &LineReader{r: bufio.NewReader(r), max: maxLine}
}

// Next gives the next line that is not blank, without white space around it, and its number from
// 1, in which blank lines count. The slice is valid until the next call. A last line needs no \n.
//
// At the end the error is io.EOF. A line over the limit is an *hub.InvalidError for "data" that is
// TooLarge, any other error is the reader's; the number is then that of the line it stopped in.
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
	l.line = l.line[:0]
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
		l.line = append(l.line, part...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return l.line, err
		}
	}
}
