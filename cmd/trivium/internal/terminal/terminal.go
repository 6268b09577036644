package terminal

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Attached reports whether a stream is a character device, as terminals are. Files, pipes and the
// socket of a journal are not character devices.
func Attached(stream any) bool {
	file, ok := stream.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// Harmless escapes, in Go syntax, all characters in s that could control a terminal or are invisible:
// control characters, characters that change the writing direction, and invalid UTF-8.
func Harmless(s string) string { return escaped(s, isOdd) }

// HarmlessBeyondASCII is like Harmless, but does not escape ASCII characters other than DEL, because a
// JSON encoder escapes control characters itself.
func HarmlessBeyondASCII(s string) string {
	return escaped(s, func(r rune) bool { return r >= 0x7f && isOdd(r) })
}

// escaped escapes, in Go syntax, each rune in s for which odd returns true.
func escaped(s string, odd func(rune) bool) string {
	if strings.IndexFunc(s, odd) < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		if odd(r) {
			quoted := strconv.Quote(s[i : i+size])
			b.WriteString(quoted[1 : len(quoted)-1])
		} else {
			b.WriteString(s[i : i+size])
		}
		i += size
	}
	return b.String()
}

// HarmlessJSON escapes the same characters as Harmless, except tabs, but in JSON syntax. The parameter text
// must be JSON in one line: in such JSON, these characters can only occur inside of strings, where they can
// be escaped. The result is JSON with the same meaning.
func HarmlessJSON(text []byte) []byte {
	odd := func(r rune) bool { return r != '\t' && isOdd(r) }
	if bytes.IndexFunc(text, odd) < 0 {
		return text
	}
	var b []byte
	for _, r := range string(text) {
		if !odd(r) {
			b = utf8.AppendRune(b, r)
			continue
		}
		for _, unit := range utf16.AppendRune(nil, r) {
			b = fmt.Appendf(b, `\u%04x`, unit)
		}
	}
	return b
}

// isOdd reports whether a rune must be escaped. U+FFFD is escaped, because decoding replaces invalid
// UTF-8 by it.
func isOdd(r rune) bool { return r == utf8.RuneError || !strconv.IsPrint(r) }
