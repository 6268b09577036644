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

// Attached reports whether a stream is a character device. A terminal is one; a file, a pipe and
// the socket of a journal are not.
func Attached(stream any) bool {
	file, ok := stream.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// Harmless returns s with all characters escaped, in Go syntax, that could control a terminal or
// are invisible: control characters, characters that change the writing direction, and invalid
// UTF-8.
func Harmless(s string) string { return escaped(s, isOdd) }

// HarmlessBeyondASCII is like Harmless, but does not escape the ASCII characters below DEL, which
// JSON escapes itself.
func HarmlessBeyondASCII(s string) string {
	return escaped(s, func(r rune) bool { return r >= 0x7f && isOdd(r) })
}

// escaped returns s with the runes for which odd is true escaped in Go syntax.
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

// HarmlessJSON escapes the same characters as Harmless, but in JSON syntax, so that the text keeps
// its meaning. text must be one line of JSON: except tabs, such characters can then only be in
// strings.
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

// isOdd reports whether a rune must be escaped. U+FFFD must be, because it stands for invalid
// UTF-8.
func isOdd(r rune) bool { return r == utf8.RuneError || !strconv.IsPrint(r) }
