package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/trivium-hub/trivium/hub"
)

// The walkers below are there because encoding/json loses what the protocol promises to keep:
// its structs match names without regard to case and let the last of two equal names win, and
// its values are not the bytes that were sent. They take only what validJSON has passed.

// validJSON reports whether b is one JSON text by RFC 8259 in valid UTF-8, without a byte order
// mark. Values nested deeper than encoding/json allows (10000) are refused.
func validJSON(b []byte) bool {
	return json.Valid(b) && utf8.Valid(b)
}

// whyNotJSON says what is wrong with a text that validJSON refused.
func whyNotJSON(b []byte) string {
	var raw json.RawMessage
	if err := json.Unmarshal(b, &raw); err != nil {
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
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1]), true
	}
	if err := json.Unmarshal(raw, &s); err != nil {
		return "", false
	}
	return s, !strings.ContainsRune(s, utf8.RuneError) || !hasLoneSurrogate(raw)
}

func hasLoneSurrogate(raw []byte) bool {
	for {
		i := bytes.IndexByte(raw, '\\')
		if i < 0 {
			return false
		}
		raw = raw[i:]
		switch unit := escapedUnit(raw); {
		case unit < 0:
			raw = raw[2:] // an escape of one letter, maybe the backslash's own
		case unit < 0xd800 || unit > 0xdfff:
			raw = raw[6:]
		case unit < 0xdc00 && escapedUnit(raw[6:]) >= 0xdc00 && escapedUnit(raw[6:]) <= 0xdfff:
			raw = raw[12:]
		default:
			return true
		}
	}
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

func badInput(parameter, detail string) error {
	return &hub.InvalidError{Parameter: parameter, Detail: detail}
}
