package publish

import (
	"bytes"
	"encoding/binary"
	"mime"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/trivium-hub/trivium/transports/problems"
)

// supportedCharsets lists the accepted charsets, for error messages.
const supportedCharsets = "text in UTF-8, ISO-8859-1, UTF-16LE, UTF-16BE, or UTF-16 with a byte order mark"

// charsetOf returns the charset parameter of a content type in lower case, or "" if the parameter is
// missing.
func charsetOf(contentType string) (string, error) {
	_, parameters, err := mime.ParseMediaType(contentType)
	if err != nil && strings.Contains(strings.ToLower(contentType), "charset") {
		return "", problems.BadParameter("Content-Type", "the parameters are invalid, want for example text/plain; charset=utf-8")
	}
	return strings.ToLower(parameters["charset"]), nil
}

// toUTF8 converts text from a charset to UTF-8. It does not check whether text in UTF-8 is valid. In an
// unknown charset, it accepts only text that consists of ASCII characters.
func toUTF8(text []byte, charset string) ([]byte, error) {
	switch charset {
	case "", "utf-8", "utf8", "us-ascii", "ascii":
		return text, nil
	case "iso-8859-1", "latin1", "iso8859-1":
		converted := make([]byte, 0, len(text)+len(text)/8)
		for _, b := range text {
			converted = utf8.AppendRune(converted, rune(b))
		}
		return converted, nil
	case "utf-16le":
		return fromUTF16(text, binary.LittleEndian)
	case "utf-16be":
		return fromUTF16(text, binary.BigEndian)
	case "utf-16":
		switch {
		case bytes.HasPrefix(text, []byte{0xff, 0xfe}):
			return fromUTF16(text[2:], binary.LittleEndian)
		case bytes.HasPrefix(text, []byte{0xfe, 0xff}):
			return fromUTF16(text[2:], binary.BigEndian)
		case len(text) == 0:
			return text, nil
		}
		return nil, problems.BadParameter("body", "must begin with a byte order mark if its charset is utf-16, but not with utf-16le or utf-16be")
	}
	if !isPlainASCII(text) {
		return nil, problems.UnsupportedMediaType(supportedCharsets)
	}
	return text, nil
}

// isPlainASCII reports whether text contains only characters that have the same code in every charset
// based on ASCII.
func isPlainASCII(text []byte) bool {
	return bytes.IndexFunc(text, func(r rune) bool {
		return r >= utf8.RuneSelf || r < ' ' && r != '\n' && r != '\r' && r != '\t' || r == 0x7f
	}) < 0
}

func fromUTF16(text []byte, order binary.ByteOrder) ([]byte, error) {
	if len(text)%2 != 0 {
		return nil, problems.BadParameter("body", "must have an even number of bytes, since its charset is UTF-16")
	}
	converted := make([]byte, 0, len(text))
	for i := 0; i < len(text); i += 2 {
		r := rune(order.Uint16(text[i:]))
		if utf16.IsSurrogate(r) {
			low := rune(0)
			if i += 2; i < len(text) {
				low = rune(order.Uint16(text[i:]))
			}
			if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
				return nil, problems.BadParameter("body", "must not contain an unpaired surrogate, since its charset is UTF-16")
			}
		}
		converted = utf8.AppendRune(converted, r)
	}
	return converted, nil
}
