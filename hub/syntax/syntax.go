// Package syntax checks the syntax of cursors and tokens.
//
//	syntax.IsCursor("1f0c9a77-42") // true
//
// Cursors and tokens appear in URLs, headers and cookies. They consist of the characters that need
// no escape in any of these: the unreserved ones of RFC 3986 section 2.3. The package starts no
// goroutine; its functions are safe for concurrent use.
package syntax

import "strings"

// Maximum lengths, in bytes.
const (
	maxCursor = 64
	MaxToken  = 8 << 10
)

const unreserved = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~"

// IsUnreserved reports whether a character needs no escape.
func IsUnreserved(c byte) bool { return strings.IndexByte(unreserved, c) >= 0 }

// IsCursor reports whether s can be a cursor of any hub (docs/protocol.md#cursors).
func IsCursor(s string) bool { return isText(s, maxCursor) }

// IsToken reports whether s can be a token (docs/protocol.md#authentication).
func IsToken(s string) bool { return isText(s, MaxToken) }

func isText(s string, maxLen int) bool {
	return s != "" && len(s) <= maxLen && strings.Trim(s, unreserved) == ""
}
