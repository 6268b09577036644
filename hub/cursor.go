package hub

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// Epoch identifies one lifetime of the log. Cursors of different epochs cannot be compared.
type Epoch uint32

// String returns the epoch as 8 lower-case hexadecimal digits (docs/protocol.md#cursors).
func (e Epoch) String() string {
	return string(appendEpoch(nil, e))
}

// Cursor is a position in the log, right after the event with sequence number Seq. It is also the ID of that
// event. Seq 0 is the position before the first event.
type Cursor struct {
	Epoch Epoch
	Seq   uint64
}

// MaxCursorLen is the length of the longest cursor as a string, in bytes: 8 digits, a hyphen and a
// uint64.
const MaxCursorLen = epochLen + 1 + 20

const epochLen = 8

// CursorChars are the characters that a cursor may contain. They need no escape in URLs, headers and cookies (the
// unreserved characters of RFC 3986 section 2.3).
const CursorChars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~"

// maxForeignCursorLen is the maximum length of a cursor of any hub, in bytes.
const maxForeignCursorLen = 64

// IsCursor reports whether s has the syntax that the protocol prescribes for cursors of all hubs, whatever their
// implementation (docs/protocol.md#cursors). ParseCursor checks the stricter syntax of this package's cursors.
func IsCursor(s string) bool {
	return s != "" && len(s) <= maxForeignCursorLen && strings.Trim(s, CursorChars) == ""
}

// ErrCursor is returned by ParseCursor for a string that is not a cursor.
var ErrCursor = errors.New("a cursor must be 8 lower-case hexadecimal digits, a hyphen and a decimal number, such as 1f0c9a77-42")

// String returns the cursor in the format "<epoch>-<seq>".
func (c Cursor) String() string {
	return string(c.AppendText(make([]byte, 0, MaxCursorLen)))
}

// AppendText appends the result of String to dst.
func (c Cursor) AppendText(dst []byte) []byte {
	dst = append(appendEpoch(dst, c.Epoch), '-')
	return strconv.AppendUint(dst, c.Seq, 10)
}

func appendEpoch(dst []byte, e Epoch) []byte {
	const digits = "0123456789abcdef"
	for shift := 28; shift >= 0; shift -= 4 {
		dst = append(dst, digits[e>>shift&0xf])
	}
	return dst
}

// ParseCursor parses a cursor. It accepts only the output of String, so that each position has exactly one
// representation. The error is ErrCursor.
func ParseCursor(s string) (Cursor, error) {
	if len(s) < epochLen+2 || len(s) > MaxCursorLen || s[epochLen] != '-' {
		return Cursor{}, ErrCursor
	}
	var epoch Epoch
	for i := range epochLen {
		digit, ok := hexDigit(s[i])
		if !ok {
			return Cursor{}, ErrCursor
		}
		epoch = epoch<<4 | Epoch(digit)
	}
	seq, ok := parseDecimal(s[epochLen+1:])
	if !ok {
		return Cursor{}, ErrCursor
	}
	return Cursor{Epoch: epoch, Seq: seq}, nil
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	}
	return 0, false
}

// parseDecimal parses an unsigned number. Unlike strconv, it rejects leading zeros.
func parseDecimal(s string) (uint64, bool) {
	if s == "" || s[0] == '0' && len(s) > 1 {
		return 0, false
	}
	var n uint64
	for i := range len(s) {
		digit := uint64(s[i]) - '0'
		if digit > 9 || n > (math.MaxUint64-digit)/10 {
			return 0, false
		}
		n = n*10 + digit
	}
	return n, true
}
