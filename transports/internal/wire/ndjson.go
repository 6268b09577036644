package wire

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/hub/jsonscan"
)

// LineReader reads the lines of a stream, for example newline-delimited JSON. It holds at most one line
// in memory, and returns each line as soon as it is complete.
type LineReader struct {
	r      *bufio.Reader
	max    int
	resize func(size int) error // see Reserve; nil: no memory is reserved
	line   []byte               // a line that is longer than r's buffer
	number int                  // number of the last line that was read
	err    error
}

// NewLineReader returns a LineReader that reads from r. A line may have at most maxLine bytes, not
// counting its \n.
func NewLineReader(r io.Reader, maxLine int) *LineReader {
	return &LineReader{r: bufio.NewReader(r), max: maxLine}
}

// Reserve sets a function that reserves memory for lines that are longer than the buffer of r. Next
// calls it with the total size of the memory before the memory is allocated, and with 0 after the memory
// was freed. If the function returns an error, Next returns that error instead of the line. Reserve must
// be called before Next.
func (l *LineReader) Reserve(resize func(size int) error) { l.resize = resize }

// Next returns the next line that is not blank, without surrounding white space, and its number.
// Numbers start at 1 and count blank lines. The slice is valid until the next call. The last line
// needs no \n.
//
// At the end of the input, the error is io.EOF. If a line is too long, the error is a *hub.InvalidError
// for "data" with TooLarge set. Other errors are from the reader or from the function set by Reserve.
// With an error other than io.EOF, the number is that of the line that caused the error. After Next has
// returned an error, further calls return the same error.
func (l *LineReader) Next() (line []byte, number int, err error) {
	for l.err == nil {
		l.number++
		line, err := l.read()
		if err != nil {
			l.err = err
		}
		if errors.Is(err, io.EOF) && len(line) == 0 {
			l.number-- // there is no line after the last \n
		}
		if err != nil && !errors.Is(err, io.EOF) {
			break
		}
		if line = jsonscan.Trim(line); len(line) > 0 {
			return line, l.number, nil
		}
	}
	return nil, l.number, l.err
}

// read returns one line without its \n. If the input ends before a \n, the error is io.EOF.
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
				Detail:    fmt.Sprintf("a line may have at most %d bytes, this one has more", l.max),
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

// maxKeptLine is the maximum size of a buffer that is kept for the next line.
const maxKeptLine = 64 << 10 // bytes

// free empties l.line, and frees its memory if it is larger than maxKeptLine.
func (l *LineReader) free() {
	l.line = l.line[:0]
	if cap(l.line) > maxKeptLine {
		l.line = nil
		if l.resize != nil {
			_ = l.resize(0) // a reservation can always be reduced
		}
	}
}

// grow makes room for n more bytes in l.line.
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
