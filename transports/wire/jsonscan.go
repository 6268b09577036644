package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/trivium-hub/trivium/hub"
)

// The walkers below are there because encoding/json loses what the protocol promises to keep:
// its structs match names without regard to case and let the last of two equal names win, and
// its values are not the bytes that were sent. They take only what validJSON has passed.

// validJSON reports whether b is one JSON text by RFC 8259 in valid UTF-8, without a byte order
// mark. Values nested deeper than jsonDepth are refused.
func validJSON(b []byte) bool {
	return json.Valid(b) && utf8.Valid(b)
}

// MaxNesting is how deep the arrays and objects of an event's data may stand within each other. Any
// parser of a subscriber's copes with it.
const MaxNesting = 500

// checkNesting refuses JSON that is nested deeper than MaxNesting.
func checkNesting(parameter string, value []byte) error {
	if len(value) <= 2*MaxNesting || !deeper(value, MaxNesting) {
		return nil
	}
	return badInput(parameter, tooDeep)
}

var tooDeep = fmt.Sprintf("arrays and objects are nested more than %d levels deep", MaxNesting)

// deeper reports whether a text, which need not be valid JSON, is nested deeper than limit.
func deeper(b []byte, limit int) bool {
	depth := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			for i++; i < len(b) && b[i] != '"'; i++ {
				if b[i] == '\\' {
					i++
				}
			}
		case '{', '[':
			if depth++; depth > limit {
				return true
			}
		case '}', ']':
			depth--
		}
	}
	return false
}

// jsonDepth is what encoding/json allows.
const jsonDepth = 10000

// whyNotJSON says what is wrong with a text that validJSON refused.
func whyNotJSON(b []byte) string {
	if deeper(b, jsonDepth) {
		return tooDeep
	}
	// Not Unmarshal: it needs reflection, which makes a page's program half a megabyte larger.
	if err := json.Compact(new(bytes.Buffer), b); err != nil {
		return fmt.Sprintf("must be JSON (RFC 8259): %v", err)
	}
	return "must be JSON in valid UTF-8"
}

const jsonSpace = " \t\r\n" // RFC 8259 section 2; not what unicode calls space

// trimJSON strips JSON white space around b.
func trimJSON(b []byte) []byte {
	return bytes.Trim(b, jsonSpace)
}

// members calls visit for each member of a valid JSON object, in order, until visit returns an
// error, which it returns. The name is unescaped and must be compared with its case; the value is
// the raw text, a slice of obj without white space around it.
func members(obj []byte, visit func(name string, value []byte) error) error {
	for rest := inside(obj); len(rest) > 0; {
		n := valueLen(rest)
		name, _ := decodeString(rest[:n])
		rest = afterSpace(rest[n:])
		rest = afterSpace(rest[1:]) // the colon
		n = valueLen(rest)
		if err := visit(name, rest[:n]); err != nil {
			return err
		}
		rest = afterComma(rest[n:])
	}
	return nil
}

// elements calls visit for each element of a valid JSON array, as members does.
func elements(array []byte, visit func(value []byte) error) error {
	for rest := inside(array); len(rest) > 0; {
		n := valueLen(rest)
		if err := visit(rest[:n]); err != nil {
			return err
		}
		rest = afterComma(rest[n:])
	}
	return nil
}

// inside gives what stands between the brackets of an object or array.
func inside(b []byte) []byte {
	b = trimJSON(b)
	return trimJSON(b[1 : len(b)-1])
}

func afterSpace(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t' || b[0] == '\r' || b[0] == '\n') {
		b = b[1:] // bytes.TrimLeft took a sixth of a datagram's time
	}
	return b
}

func afterComma(b []byte) []byte {
	b = afterSpace(b)
	if len(b) == 0 {
		return nil
	}
	return afterSpace(b[1:])
}

// valueLen is the length of the value with which b begins.
func valueLen(b []byte) int {
	switch b[0] {
	case '"':
		return stringLen(b)
	case '{', '[':
		return nestLen(b)
	}
	if n := bytes.IndexAny(b, ",]}"+jsonSpace); n >= 0 {
		return n
	}
	return len(b)
}

func stringLen(b []byte) int {
	for i := 1; ; i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
}

func nestLen(b []byte) int {
	depth := 0
	for i := 0; ; i++ {
		switch b[i] {
		case '"':
			i += stringLen(b[i:]) - 1
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
}

// isString reports whether a raw value, nil if there is none, is a JSON string.
func isString(value []byte) bool {
	return len(value) > 0 && value[0] == '"'
}

// decodeString unescapes a valid raw JSON string. ok is false where it has the escape of half a
// surrogate pair, which no UTF-8 text can stand for (RFC 8259 section 8.2); U+FFFD takes its place.
func decodeString(raw []byte) (s string, ok bool) {
	raw = raw[1 : len(raw)-1]
	escape := bytes.IndexByte(raw, '\\')
	if escape < 0 {
		return string(raw), true
	}
	text, ok := make([]byte, 0, len(raw)), true
	for ; escape >= 0; escape = bytes.IndexByte(raw, '\\') {
		text = append(text, raw[:escape]...)
		raw = raw[escape:]
		if r, n := escapedRune(raw); n > 0 {
			ok = ok && (r != utf8.RuneError || escapedUnit(raw) == utf8.RuneError)
			text, raw = utf8.AppendRune(text, r), raw[n:]
		} else {
			text, raw = append(text, escapedLetter[raw[1]]), raw[2:]
		}
	}
	return string(append(text, raw...)), ok
}

// escapedLetter is what an escape of one letter stands for (RFC 8259 section 7).
var escapedLetter = [256]byte{
	'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t',
}

// escapedRune is the character whose one or two \uXXXX b begins with, and their length; 0 if b does
// not. Half a surrogate pair is U+FFFD.
func escapedRune(b []byte) (r rune, n int) {
	first := rune(escapedUnit(b))
	switch {
	case first < 0:
		return 0, 0
	case !utf16.IsSurrogate(first):
		return first, 6
	}
	if r := utf16.DecodeRune(first, rune(escapedUnit(b[6:]))); r != utf8.RuneError {
		return r, 12
	}
	return utf8.RuneError, 6
}

// escapedUnit is the UTF-16 code unit of the \uXXXX with which b begins, -1 if it does not.
func escapedUnit(b []byte) int {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return -1
	}
	unit := 0
	for _, c := range b[2:6] {
		unit = unit<<4 | int(c&0xf)
		if c >= 'A' { // letters of either case are 9 past their low digit
			unit += 9
		}
	}
	return unit
}

// requireString decodes the value of a member that must be a string. The error is an
// *hub.InvalidError for the member.
func requireString(name string, value []byte) (string, error) {
	if !isString(value) {
		return "", badInput(name, "must be a string")
	}
	s, ok := decodeString(value)
	if !ok {
		return "", badInput(name, `must be Unicode text: half a surrogate pair (\ud800 to \udfff) is none`)
	}
	return s, nil
}

// Members calls visit for each member of a JSON object, as it stands in the text and in order, until
// visit returns an error, which it returns. The name must be compared with its case; the value is
// raw, and valid. It is for who reads small messages and has no room for encoding/json's reflection.
func Members(object []byte, visit func(name string, value []byte) error) error {
	object, err := trimObject(object)
	if err != nil {
		return err
	}
	return members(object, visit)
}

// String decodes a raw value that Members gave; ok is false if it is no string, or one that is not
// Unicode text.
func String(value []byte) (s string, ok bool) {
	if !isString(value) {
		return "", false
	}
	return decodeString(value)
}

// AppendString appends s as a JSON string; what is not UTF-8 becomes U+FFFD.
func AppendString(dst []byte, s string) []byte { return appendQuoted(dst, s) }

func badInput(parameter, detail string) error {
	return &hub.InvalidError{Parameter: parameter, Detail: detail}
}
